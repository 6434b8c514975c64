// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's part of pool.c: connects to port 1024 of the host, says that it is ready, runs a
 * command with that connection as its standard input and output, and tells how it ended through a
 * second connection, to port 1025.
 *
 *	cc -static -o agent agent.c
 *	agent COMMAND [ARGUMENT]...
 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDIO_PORT  1024
#define STATUS_PORT 1025

static int connect_to_host(unsigned port)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0) {
		perror("agent: connect to the host");
		exit(125);
	}
	return fd;
}

static int run(int fd, char **argv)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: agent COMMAND [ARGUMENT]...\n");
		return 125;
	}
	int fd = connect_to_host(STDIO_PORT);
	if (write(fd, "!", 1) != 1) /* ready */
		return 125;
	unsigned char status = (unsigned char)run(fd, argv + 1);
	close(fd);
	int report = connect_to_host(STATUS_PORT);
	if (write(report, &status, 1) != 1)
		return 125;
	/* the host has it when it closes its end */
	return read(report, &status, 1) == 0 ? 0 : 125;
}
