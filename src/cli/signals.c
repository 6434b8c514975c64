// SPDX-License-Identifier: Apache-2.0
/* The signal thread: sigwaitinfo(2) in a loop, for the life of the program. */
#include "cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/window.h"

/* Of the one thread: a default stack may cost a huge page (2 MiB) at its first touch. */
#define STACK_SIZE ((size_t)256 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum { MAKING, WATCHING, CLOSED } phase;
static struct lacuna_vm *watched; /* while WATCHING */
static int caught;
static void (*discard)(void);

static void ask_for_end(int sig)
{
	pthread_mutex_lock(&lock);
	if (!caught)
		caught = sig;
	if (phase == WATCHING) {
		lacuna_vm_stop(watched);
	} else if (phase == MAKING) { /* nothing of the machine needs saving */
		discard();
		_exit(sig == SIGHUP ? STATUS_FAILED : STATUS_SIGNAL + sig);
	}
	pthread_mutex_unlock(&lock);
}

static void report_window(void)
{
	pthread_mutex_lock(&lock);
	if (phase == WATCHING)
		window_report(watched);
	pthread_mutex_unlock(&lock);
}

static void *signal_thread(void *opaque)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	for (;;) {
		int sig = sigwaitinfo(&set, NULL);
		if (sig == SIGTSTP) {
			terminal_restore();
			kill(getpid(), SIGSTOP);
		} else if (sig == SIGCONT) {
			terminal_resume();
			report_window();
		} else if (sig == SIGWINCH) {
			report_window();
		} else if (sig > 0) {
			ask_for_end(sig);
		}
	}
	return opaque;
}

int signals_open(void (*before_end)(void))
{
	discard = before_end;
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };
	sigset_t set;
	pthread_t thread;
	pthread_attr_t attr;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		struct sigaction old;
		/* nohup(1) and shells without job control have some of them ignored: left alone */
		sigaction(taken[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaddset(&set, taken[i]);
	}
	int rc = pthread_sigmask(SIG_SETMASK, &set, NULL);
	if (rc)
		return -rc;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&thread, &attr, signal_thread, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

static void enter(int next, struct lacuna_vm *vm)
{
	pthread_mutex_lock(&lock);
	phase = next;
	watched = vm;
	pthread_mutex_unlock(&lock);
}

void signals_watch(struct lacuna_vm *vm)
{
	enter(WATCHING, vm);
}

void signals_close(void)
{
	enter(CLOSED, NULL);
}

int signals_caught(void)
{
	pthread_mutex_lock(&lock);
	int sig = caught;
	pthread_mutex_unlock(&lock);
	return sig;
}
