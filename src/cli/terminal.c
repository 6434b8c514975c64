// SPDX-License-Identifier: Apache-2.0
/*
 * Raw mode (termios(3)) and the ways out of it. The state is the program's, not a machine's, since
 * a handler of fatal signals has to reach it.
 */
#include "cli/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };
#define FATAL_SIGNALS (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool open_now;
static struct termios cooked, raw; /* constant once open_now is set */
static struct sigaction before_fatal[FATAL_SIGNALS];

static void set(const struct termios *mode)
{
	sigset_t ttou, old;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU); /* else a background process is stopped here */
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(STDIN_FILENO, TCSANOW, mode);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Uses only what signal-safety(7) allows; the lock may be held by the thread that failed. */
static void on_fatal(int sig)
{
	set(&cooked);
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		if (fatal_signals[i] == sig)
			sigaction(sig, &before_fatal[i], NULL);
	raise(sig); /* delivered, as before us, when this handler returns */
}

bool terminal_open(void)
{
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &cooked) < 0)
		return false;
	raw = cooked;
	raw.c_iflag &=
		~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
	raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	const struct sigaction fatal = { .sa_handler = on_fatal };
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &fatal, &before_fatal[i]);
	pthread_mutex_lock(&lock);
	open_now = true;
	pthread_mutex_unlock(&lock);
	terminal_resume();
	return true;
}

void terminal_restore(void)
{
	pthread_mutex_lock(&lock);
	if (open_now)
		set(&cooked);
	pthread_mutex_unlock(&lock);
}

void terminal_resume(void)
{
	pthread_mutex_lock(&lock);
	if (open_now && tcgetpgrp(STDIN_FILENO) == getpgrp())
		set(&raw);
	pthread_mutex_unlock(&lock);
}

void terminal_close(void)
{
	pthread_mutex_lock(&lock);
	if (open_now) {
		set(&cooked);
		for (size_t i = 0; i < FATAL_SIGNALS; i++)
			sigaction(fatal_signals[i], &before_fatal[i], NULL);
	}
	open_now = false;
	pthread_mutex_unlock(&lock);
}
