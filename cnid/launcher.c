/* What stands in /opt/cni/bin under each plugin's name: hands the call to cnid, or executes the
 * cold plugin where no daemon takes it. docs/cnid-protocol.md says what the two say to each other.
 *
 * Static and small, since it is started once for every plugin and verb. Built with -DBUILD="..."
 * (names the library directory beside it, and must be the daemon's too) and -DVERSION_ANSWER="..."
 * (VERSION is a constant of the build and asks nobody).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/cni/cnid.sock"
#define LONGEST 200000    /* bytes of a request, protocol.LONGEST */
#define ACCEPT_SECONDS 5  /* a daemon that is slower than this is not worth waiting for */
#define RUN_COLD (-1)

extern char **environ;

struct header {
    char magic[8];
    char build[16];
    uint32_t umask;
} __attribute__((packed));

static int connection = -1;

static void forward_signal(int number)
{
    int kept = errno;
    (void)number;
    (void)!send(connection, "T", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    errno = kept;
}

static int write_all(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

/* A path such as /proc/self/ns/net means the daemon's own when the daemon opens it. */
static int names_the_caller(const char *path)
{
    return path && (!strncmp(path, "/proc/self", 10) || !strncmp(path, "/proc/thread-self", 17) ||
                    path[0] != '/') && path[0] != '\0';
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval bound = {.tv_sec = ACCEPT_SECONDS};
    struct ucred daemon_is;
    socklen_t size = sizeof daemon_is;
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* The bounds hold for connect too, which waits while the daemon's queue is full. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound) ||
        connect(fd, (struct sockaddr *)&address, sizeof address) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &daemon_is, &size) ||
        (daemon_is.uid != 0 && daemon_is.uid != geteuid())) {
        close(fd);
        return -1;
    }
    return fd;
}

static size_t append(char *message, size_t used, const char *text)
{
    size_t size = strlen(text) + 1;
    if (used + size > LONGEST)
        return LONGEST + 1;
    memcpy(message + used, text, size);
    return used + size;
}

static int send_request(const char *plugin, const char *self)
{
    static char message[LONGEST];
    struct header header = {.magic = "CNIDcall", .build = BUILD};
    size_t used = sizeof header;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = message};
    struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                           .msg_controllen = sizeof control.space};
    int descriptors[4] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};

    header.umask = (uint32_t)umask(0);
    umask((mode_t)header.umask);
    memcpy(message, &header, sizeof header);
    used = append(message, used, plugin);
    used = used > LONGEST ? used : append(message, used, self);
    for (char **pair = environ; *pair && used <= LONGEST; pair++)
        used = append(message, used, *pair);
    if (used > LONGEST || descriptors[3] < 0)
        return -1;
    part.iov_len = used;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(&control.head), descriptors, sizeof descriptors);
    return sendmsg(connection, &whole, MSG_NOSIGNAL) == (ssize_t)used ? 0 : -1;
}

static int lost(const char *plugin, const char *command)
{
    char text[512];
    int size = snprintf(text, sizeof text,
                        "{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"%s: the daemon cnid went away "
                        "during %s, which may be half done: call DEL, then try again\"}\n",
                        plugin, command);
    write_all(text, (size_t)size);
    return 1;
}

/* The exit status of a call that the daemon took, or RUN_COLD. */
static int run_warm(const char *plugin, const char *self, const char *command)
{
    const char *path = getenv("CNID_SOCKET");
    struct sigaction action = {.sa_handler = forward_signal};
    struct timeval forever = {0};
    unsigned char answer[2];
    ssize_t size;

    if (!path)
        path = DEFAULT_SOCKET;
    if (!*path || names_the_caller(getenv("CNI_NETNS")) || fcntl(0, F_GETFD) < 0 ||
        fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
        return RUN_COLD;
    connection = connect_to(path);
    if (connection < 0)
        return RUN_COLD;
    if (send_request(plugin, self) || recv(connection, answer, 1, 0) != 1 || answer[0] != 'A') {
        close(connection);
        return RUN_COLD;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    if (send(connection, "G", 1, MSG_NOSIGNAL) != 1) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        close(connection);
        return RUN_COLD; /* the call had not begun */
    }
    do
        size = recv(connection, answer, sizeof answer, 0);
    while (size < 0 && errno == EINTR);
    return size == 2 && answer[0] == 'D' ? answer[1] : lost(plugin, command);
}

int main(int count, char **arguments)
{
    static const char *const verbs[] = {"ADD", "DEL", "CHECK", "GC", "STATUS"};
    const char *given = getenv("CNI_COMMAND"), *command = NULL, *plugin;
    char self[PATH_MAX], cold[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);

    if (given && !strcmp(given, "VERSION"))
        return write_all(VERSION_ANSWER, sizeof VERSION_ANSWER - 1) ? 1 : 0;
    if (size <= 0 || count < 1) {
        fputs("the plugin cannot find itself: is /proc mounted?\n", stderr);
        return 1;
    }
    self[size] = '\0';
    for (size_t at = 0; given && at < sizeof verbs / sizeof *verbs; at++)
        if (!strcmp(given, verbs[at]))
            command = verbs[at];
    plugin = strrchr(self, '/') + 1; /* each name is a hard link or a copy of its own */
    if (command) {
        int status = run_warm(plugin, self, command);
        if (status != RUN_COLD)
            return status;
    }
    snprintf(cold, sizeof cold, "%.*s/pycni-lib-" BUILD "/pycni", (int)(plugin - self - 1), self);
    arguments[0] = self;
    execv(cold, arguments);
    fprintf(stderr, "%s: %s: %s\n", self, cold, strerror(errno));
    return 1;
}
