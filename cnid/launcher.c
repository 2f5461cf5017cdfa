/* What stands in /opt/cni/bin under each plugin's name: hands the call to cnid, or executes the
 * cold plugin where no daemon takes it. docs/cnid-protocol.md says what the two say to each other.
 *
 * Static and small: it starts for every plugin and verb. Built with -DBUILD="..." (the library
 * directory beside it, and the daemon's too) and -DVERSION_ANSWER="..." (which asks nobody).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
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
    uint64_t since;    /* when, nanoseconds of CLOCK_MONOTONIC */
} __attribute__((packed));

static int connection = -1;
static int token; /* an eventfd that holds 1: the call is his who reads it */

static int take_token(void)
{
    return read(token, &(uint64_t){0}, 8) == 8;
}

/* A call that has begun gets the signal there; one that has not, never will. */
static void on_signal(int number)
{
    char message[2] = {'T', (char)number};
    int kept = errno;
    if (take_token()) {
        signal(number, SIG_DFL);
        raise(number); /* it strikes when this returns */
    } else
        (void)!send(connection, message, sizeof message, MSG_DONTWAIT);
    errno = kept;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval bound = {.tv_sec = ACCEPT_MS / 1000, .tv_usec = ACCEPT_MS % 1000 * 1000};
    struct ucred daemon_is;
    socklen_t size = sizeof daemon_is;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    /* The bound holds for connect too, which waits while the daemon's queue is full. */
    if (fd < 0 || strlen(path) >= sizeof address.sun_path || !strcpy(address.sun_path, path) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound) ||
        connect(fd, (struct sockaddr *)&address, sizeof address) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &daemon_is, &size) ||
        (daemon_is.uid != 0 && daemon_is.uid != geteuid()))
        return -1;
    return fd;
}

/* Nanoseconds of CLOCK_MONOTONIC. Not from the vDSO, of which two pages would be touched for it. */
static uint64_t now(void)
{
    long found[2]; /* seconds and nanoseconds, as this system call has them */
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, found);
    return (uint64_t)found[0] * 1000000000 + (uint64_t)found[1];
}

static size_t append(char *message, size_t used, const char *text)
{
    size_t size = strlen(text) + 1;
    if (used > LONGEST || used + size > LONGEST)
        return LONGEST + 1;
    memcpy(message + used, text, size);
    return used + size;
}

/* Connects when all is ready, so that whoever accepts finds the request there. */
static int send_request(const char *path, const char *plugin, const char *self)
{
    static char message[LONGEST];
    struct header header = {.magic = "CNIDcall", .build = BUILD};
    const char *netns = getenv("CNI_NETNS");
    struct stat found;
    size_t used;
    struct iovec part = {.iov_base = message};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(5 * sizeof(int))] = {0};
    struct cmsghdr *head = (struct cmsghdr *)control;
    struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = sizeof control};
    int descriptors[5] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), token};

    header.since = now();
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
    part.iov_len = used;
    *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                             .cmsg_len = CMSG_LEN(sizeof descriptors)};
    memcpy(CMSG_DATA(head), descriptors, sizeof descriptors);
    return used > LONGEST || descriptors[3] < 0 || (connection = connect_to(path)) < 0 ||
           sendmsg(connection, &whole, 0) != (ssize_t)used;
}

/* Whether the call has not begun, and now never will. To be killed in here says the same as 'T'. */
static int take_back(void)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    if (take_token())
        return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    return 0;
}

/* The exit status of a call that the daemon took, or RUN_COLD. */
static int run_warm(const char *plugin, const char *self, const char *command)
{
    const char *given = getenv("CNID_SOCKET"), *path = given ? given : DEFAULT_SOCKET;
    struct pollfd answered = {.events = POLLIN};
    int patience = ACCEPT_MS;
    unsigned char answer[2];

    if (!*path || fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0 ||
        (token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return RUN_COLD;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (send_request(path, plugin, self) && take_back())
        return RUN_COLD;
    for (answered.fd = connection;;) {
        int ready = poll(&answered, 1, patience);
        ssize_t size = ready == 1 ? recv(connection, answer, sizeof answer, 0) : 0;
        if (size == 2 && answer[0] == 'D')
            return answer[1];
        /* 'W': no worker is free yet. Reset: a signal was left unread; the answer comes after. */
        if ((size == 1 && answer[0] == 'W') || (size < 0 && errno == ECONNRESET) ||
            (ready < 0 && errno == EINTR))
            continue;
        if (take_back())
            return RUN_COLD;
        if (ready)
            break;
        patience = -1; /* a worker is at it */
    }
    printf("{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"%s: the daemon cnid went away during %s, "
           "which may be half done: %s\"}\n",
           plugin, command, strcmp(command, "ADD") ? "call it again" : "call DEL, then try again");
    return 1;
}

/* By itself, for its buffer: each page of the stack that is touched costs a call 2 us. */
static __attribute__((noinline)) int run_cold(const char *plugin, char *self, char **arguments)
{
    char cold[PATH_MAX + 64];

    snprintf(cold, sizeof cold, "%.*s/pycni-lib-" BUILD "/pycni", (int)(plugin - self - 1), self);
    arguments[0] = self;
    execv(cold, arguments);
    fprintf(stderr,
            "%s: %s: %s; the executables and this directory are of one build and belong together: "
            "install both anew\n",
            self, cold, strerror(errno));
    return 1;
}

int main(int count, char **arguments)
{
    static const char *const verbs[] = {"ADD", "DEL", "CHECK", "GC", "STATUS"};
    const char *given = getenv("CNI_COMMAND"), *plugin;
    char self[PATH_MAX], *gone;
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
    return run_cold(plugin, self, arguments);
}
