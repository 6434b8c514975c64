// SPDX-License-Identifier: Apache-2.0
/*
 * Plays the shell: runs lacuna in the foreground of a pseudo-terminal, ends it in every way there
 * is and looks at the terminal afterwards. terminal.sh starts it with the command to run, whose
 * guest is the echo of tests/guest/console.c. Each scenario is a process that leads a session of
 * its own, since a terminal is reset when its session leader goes. Output is TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 20

static char **command;
static int master, slave;
static struct termios before;
static pid_t pid;
static char output[1 << 16];
static size_t output_len;

__attribute__((format(printf, 1, 2))) _Noreturn static void fail_scenario(const char *fmt, ...)
{
	va_list ap;
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n# the terminal showed: ");
	for (size_t i = 0; i < output_len; i++)
		printf(output[i] >= ' ' && output[i] < 0x7f ? "%c" : "\\x%02x",
			(unsigned char)output[i]);
	printf("\n");
	fflush(stdout);
	if (pid > 0)
		kill(pid, SIGKILL);
	_exit(1);
}

#define EXPECT(cond)                                                        \
	do {                                                                \
		if (!(cond))                                                \
			fail_scenario("line %d: not so: " #cond, __LINE__); \
	} while (0)

static void open_terminal(void)
{
	EXPECT(setsid() > 0);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTTOU, SIG_IGN); /* as a shell, which sets the foreground group at will */
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_CLOEXEC); /* and so it controls this session */
	EXPECT(slave >= 0 && tcgetattr(slave, &before) == 0);
}

static void spawn(bool foreground)
{
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		if (foreground)
			tcsetpgrp(slave, getpid());
		signal(SIGHUP, SIG_DFL);
		signal(SIGTTOU, SIG_DFL);
		for (int fd = 0; fd <= 2; fd++)
			dup2(slave, fd);
		execv(command[0], command);
		_exit(127);
	}
	setpgid(pid, pid);
	if (foreground)
		EXPECT(tcsetpgrp(slave, pid) == 0);
}

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Waits for output, or @fd if it is not negative, and takes the output in. False at the deadline.
 */
static bool take_output(int fd, long long deadline, bool *ret_fd_ready)
{
	struct pollfd p[] = { { .fd = master, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	long long left = deadline - now_ms();
	if (left <= 0 || poll(p, 2, (int)left) <= 0)
		return false;
	*ret_fd_ready = p[1].revents;
	if (p[0].revents & POLLIN) {
		ssize_t n = read(master, output + output_len, sizeof(output) - output_len);
		if (n > 0)
			output_len += (size_t)n;
	}
	return true;
}

static void wait_for(const char *text)
{
	long long deadline = now_ms() + DEADLINE_S * 1000;
	bool ready;
	while (!memmem(output, output_len, text, strlen(text)))
		if (!take_output(-1, deadline, &ready))
			fail_scenario("the text '%s' did not come", text);
}

static void type(const char *keys)
{
	EXPECT(write(master, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

/* The wait status of lacuna, which must end before the deadline. */
static int wait_end(void)
{
	long long deadline = now_ms() + DEADLINE_S * 1000;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	bool ended = false;
	EXPECT(pidfd >= 0);
	while (!ended)
		if (!take_output(pidfd, deadline, &ended))
			fail_scenario("lacuna did not end");
	close(pidfd);
	EXPECT(waitpid(pid, &status, 0) == pid);
	pid = 0;
	tcsetpgrp(slave, getpid());
	return status;
}

static bool is_raw(void)
{
	struct termios t;
	return tcgetattr(slave, &t) == 0 && !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static bool is_restored(void)
{
	struct termios t;
	return tcgetattr(slave, &t) == 0 && t.c_iflag == before.c_iflag &&
	       t.c_oflag == before.c_oflag && t.c_lflag == before.c_lflag &&
	       t.c_cflag == before.c_cflag && !memcmp(t.c_cc, before.c_cc, sizeof(t.c_cc)) &&
	       !(fcntl(slave, F_GETFL) & O_NONBLOCK);
}

static void start(void)
{
	spawn(true);
	wait_for("Ctrl-a x"); /* printed once the terminal is raw */
	wait_for("ready");
	EXPECT(is_raw());
}

static void expect_exit(int code)
{
	int status = wait_end();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		fail_scenario("wait status 0x%x, not exit status %d", status, code);
	EXPECT(is_restored());
}

static void power_off(void)
{
	start();
	type("q");
	expect_exit(0);
}

static void escape(void)
{
	start();
	type("\x01x");
	expect_exit(0);
}

static void control_keys(void)
{
	start();
	type("\x03\x1a\x1c\x11\x13");
	wait_for("\x03\x1a\x1c\x11\x13");
	type("q");
	expect_exit(0);
}

static void on_signal(int sig, int code)
{
	start();
	EXPECT(kill(pid, sig) == 0);
	expect_exit(code);
}

static void sigterm(void)
{
	on_signal(SIGTERM, 128 + SIGTERM);
}

static void sigint(void)
{
	on_signal(SIGINT, 128 + SIGINT);
}

static void sigquit(void)
{
	on_signal(SIGQUIT, 128 + SIGQUIT);
}

static void sighup(void)
{
	on_signal(SIGHUP, 125);
	wait_for("SIGHUP");
}

static void fatal(void)
{
	start();
	EXPECT(kill(pid, SIGSEGV) == 0);
	int status = wait_end();
	EXPECT(status != 0); /* the signal, or what a sanitizer's own handler makes of it */
	EXPECT(is_restored());
}

static void stop_and_continue(void)
{
	int status;
	start();
	EXPECT(kill(pid, SIGTSTP) == 0);
	EXPECT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	EXPECT(is_restored());
	EXPECT(tcsetpgrp(slave, getpid()) == 0);
	/* `bg`: the terminal stays the shell's */
	EXPECT(kill(pid, SIGCONT) == 0);
	EXPECT(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
	EXPECT(kill(pid, SIGTSTP) == 0);
	EXPECT(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	EXPECT(is_restored());
	/* `fg` */
	EXPECT(tcsetpgrp(slave, pid) == 0);
	EXPECT(kill(pid, SIGCONT) == 0);
	/* In cooked mode Ctrl-c would be a signal; raw, it comes back from the guest. Until the
	 * switch the terminal is cooked, and only a look at it tells. */
	long long deadline = now_ms() + DEADLINE_S * 1000;
	while (!is_raw())
		if (now_ms() > deadline)
			fail_scenario("the terminal is not raw again");
	type("\x03");
	wait_for("\x03");
	type("q");
	expect_exit(0);
}

static void background(void)
{
	spawn(false);
	wait_for("ready");
	EXPECT(is_restored());
	EXPECT(kill(pid, SIGTERM) == 0);
	expect_exit(128 + SIGTERM);
}

static void terminal_gone(void)
{
	start();
	close(master);
	EXPECT(kill(pid, SIGHUP) == 0); /* a shell passes on what the kernel sends to it alone */
	int status;
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 125);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "terminal is put back after a power-off", power_off },
	{ "Ctrl-a x ends the machine with status 0", escape },
	{ "Ctrl-c, Ctrl-z, Ctrl-\\, Ctrl-q and Ctrl-s go to the guest", control_keys },
	{ "SIGTERM: terminal put back, status 143", sigterm },
	{ "SIGINT: terminal put back, status 130", sigint },
	{ "SIGQUIT: terminal put back, status 131", sigquit },
	{ "SIGHUP: terminal put back, status 125", sighup },
	{ "SIGSEGV: terminal put back", fatal },
	{ "SIGTSTP puts it back, SIGCONT in the foreground takes it again", stop_and_continue },
	{ "started in the background, the terminal is left alone", background },
	{ "the terminal goes away: status 125", terminal_gone },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

int main(int argc, char **argv)
{
	bool all = true;
	if (argc < 2) {
		fprintf(stderr, "usage: terminal COMMAND...\n");
		return 2;
	}
	command = argv + 1;
	for (size_t i = 0; i < SCENARIOS; i++) {
		int status;
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			alarm(3 * DEADLINE_S);
			open_terminal();
			scenarios[i].run();
			_exit(0);
		}
		waitpid(child, &status, 0);
		printf("%sok - %s\n", status ? "not " : "", scenarios[i].name);
		all &= status == 0;
	}
	printf("1..%zu\n", SCENARIOS);
	return !all;
}
