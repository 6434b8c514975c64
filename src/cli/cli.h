/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: exit statuses and the one form that messages have. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <lacuna/vm.h>

enum status {
	STATUS_OK = 0,
	STATUS_WORSE = 1, /* bench --against: something got worse */
	STATUS_TIMEOUT = 124,
	STATUS_FAILED = 125, /* lacuna's own failure, bad usage included */
	STATUS_SIGNAL = 128, /* plus the number of the signal that ended lacuna */
	STATUS_CRASH = 134,
};

/* Prints "lacuna: <message>" as one line on stderr; returns STATUS_FAILED. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* As fail() with the message of @err, which is freed. */
int fail_error(struct lacuna_error *err);

/* @fn is called before each message, to make room for its line; NULL: nothing is. */
void messages_before(void (*fn)(void));

/* The commands: argv[0] is the command's name; the result is the exit status. */
int command_run(int argc, char **argv);
int command_dump(int argc, char **argv);
int command_control(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_bench(int argc, char **argv);

/* True if descriptor @fd (0 to 2) was open when lacuna was started. */
bool was_open(int fd);

#endif
