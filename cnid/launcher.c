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
#include <poll.h>
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
#define LONGEST 200000 /* bytes of a request, protocol.LONGEST */
#ifndef ACCEPT_MS
#define ACCEPT_MS 5000 /* a daemon that is slower than this is not worth waiting for */
#endif
#define RUN_COLD (-1)

struct header {
    char magic[8];
    char build[16];
    uint32_t umask;
    uint64_t netns[2]; /* device and inode of CNI_NETNS as it is seen from here, or 0, 0 */
} __attribute__((packed));

static int connection = -1;

static void forward_signal(int number)
{
    char message[2] = {'T', (char)number};
    int kept = errno;
    (void)!send(connection, message, sizeof message, MSG_DONTWAIT);
    errno = kept;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval bound = {.tv_sec = ACCEPT_MS / 1000, .tv_usec = ACCEPT_MS % 1000 * 1000};
    struct ucred daemon_is;
    socklen_t size = sizeof daemon_is;
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* The bound holds for connect too, which waits while the daemon's queue is full. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound) ||
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
    if (used > LONGEST || used + size > LONGEST)
        return LONGEST + 1;
    memcpy(message + used, text, size);
    return used + size;
}

static int send_request(const char *plugin, const char *self)
{
    static char message[LONGEST];
    struct header header = {.magic = "CNIDcall", .build = BUILD};
    const char *netns = getenv("CNI_NETNS");
    struct stat found;
    size_t used;
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
    if (netns && !stat(netns, &found)) {
        header.netns[0] = found.st_dev;
        header.netns[1] = found.st_ino;
    }
    memcpy(message, &header, sizeof header);
    used = append(message, append(message, sizeof header, plugin), self);
    for (char **pair = environ; *pair; pair++)
        used = append(message, used, *pair);
    if (used > LONGEST || descriptors[3] < 0)
        return -1;
    part.iov_len = used;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(&control.head), descriptors, sizeof descriptors);
    return sendmsg(connection, &whole, 0) == (ssize_t)used ? 0 : -1;
}

/* Send GO. From then on signals are the call's, and one that comes meanwhile waits for that. */
static int begin(void)
{
    struct sigaction action = {.sa_handler = forward_signal, .sa_flags = SA_RESTART};
    sigset_t before;
    int sent;

    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGINT);
    sigprocmask(SIG_BLOCK, &action.sa_mask, &before);
    sent = send(connection, "G", 1, 0) == 1;
    if (sent) {
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return sent ? 0 : -1;
}

/* The exit status of a call that the daemon took, or RUN_COLD. */
static int run_warm(const char *plugin, const char *self, const char *command)
{
    const char *given = getenv("CNID_SOCKET"), *path = given ? given : DEFAULT_SOCKET;
    unsigned char answer[2] = {'W'};
    struct pollfd answered = {.events = POLLIN};
    ssize_t size;

    if (!*path || fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
        return RUN_COLD;
    answered.fd = connection = connect_to(path);
    if (connection < 0 || send_request(plugin, self))
        return RUN_COLD;
    while (answer[0] == 'W') /* it lives, and has no worker yet */
        if (poll(&answered, 1, ACCEPT_MS) != 1 || recv(connection, answer, 1, 0) != 1)
            answer[0] = 'R';
    if (answer[0] != 'A' || begin()) {
        close(connection); /* the call has not begun, and never will there */
        return RUN_COLD;
    }
    do /* "Connection reset" says that a signal was not read any more; the answer comes after it. */
        size = recv(connection, answer, sizeof answer, 0);
    while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size == 2 && answer[0] == 'D')
        return answer[1];
    if (size == 1 && answer[0] == 'R')
        return RUN_COLD; /* it was tired of waiting for GO */
    printf("{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"%s: the daemon cnid went away during %s, "
           "which may be half done: %s\"}\n",
           plugin, command, strcmp(command, "ADD") ? "call it again" : "call DEL, then try again");
    return 1;
}

int main(int count, char **arguments)
{
    static const char *const verbs[] = {"ADD", "DEL", "CHECK", "GC", "STATUS"};
    const char *given = getenv("CNI_COMMAND"), *plugin;
    char self[PATH_MAX], cold[PATH_MAX + 64], *gone;
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);

    signal(SIGPIPE, SIG_IGN); /* as Python does */
    if (given && !strcmp(given, "VERSION") && fputs(VERSION_ANSWER, stdout) >= 0 && !fflush(stdout))
        return 0;
    if (size <= 0 || count < 1) {
        fputs("the plugin cannot find itself: is /proc mounted?\n", stderr);
        return 1;
    }
    self[size] = '\0';
    gone = self + size - strlen(" (deleted)"); /* where an upgrade has just replaced the file */
    if (gone > self && !strcmp(gone, " (deleted)"))
        *gone = '\0';
    plugin = strrchr(self, '/') + 1; /* each name is a hard link or a copy of its own */
    for (size_t at = 0; given && at < sizeof verbs / sizeof *verbs; at++)
        if (!strcmp(given, verbs[at])) {
            int status = run_warm(plugin, self, verbs[at]);
            if (status != RUN_COLD)
                return status;
        }
    snprintf(cold, sizeof cold, "%.*s/pycni-lib-" BUILD "/pycni", (int)(plugin - self - 1), self);
    arguments[0] = self;
    execv(cold, arguments);
    fprintf(stderr, "%s: %s: %s\n", self, cold, strerror(errno));
    return 1;
}
