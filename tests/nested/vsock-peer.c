// SPDX-License-Identifier: Apache-2.0
/*
 * Programs of the host at the socket device, many in one:
 *   vsock-peer connect PATH PORT COUNT BYTES   COUNT connections to the guest's PORT, all open
 * before the first sends; each sends BYTES bytes and its end, and wants the same back vsock-peer
 * serve PATH COUNT                listens at PATH, takes COUNT connections and, when all are open,
 * sends back what each sends Prints how many went well.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT_MAX 1000
#define TIME_MAX  120 /* seconds */

static pthread_barrier_t all_open;
static atomic_uint good;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static const char *port;
static size_t bytes;

static bool send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Byte by byte, since the guest's data follows at once. */
static bool read_ok(int fd)
{
	char line[32];
	size_t at = 0;
	while (at + 1 < sizeof(line) && read(fd, line + at, 1) == 1)
		if (line[at++] == '\n')
			return strncmp(line, "OK ", 3) == 0;
	return false;
}

static bool exchange(int fd, unsigned number)
{
	char *data = malloc(bytes), *back = malloc(bytes + 1);
	size_t got = 0;
	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)(number * 31 + i);
	bool ok = send_all(fd, data, bytes) && shutdown(fd, SHUT_WR) == 0;
	for (ssize_t n; ok && (n = read(fd, back + got, bytes + 1 - got)) != 0; got += (size_t)n)
		ok = n > 0;
	ok = ok && got == bytes && memcmp(data, back, bytes) == 0;
	free(data);
	free(back);
	return ok;
}

static void *client(void *opaque)
{
	unsigned number = (unsigned)(size_t)opaque;
	char line[32];
	int len = snprintf(line, sizeof(line), "CONNECT %s\n", port);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool open = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		    send_all(fd, line, (size_t)len) && read_ok(fd);
	pthread_barrier_wait(&all_open);
	if (open && exchange(fd, number))
		good++;
	close(fd);
	return NULL;
}

static void *echo(void *opaque)
{
	int fd = (int)(size_t)opaque;
	char buf[4096];
	ssize_t n;
	pthread_barrier_wait(&all_open);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (!send_all(fd, buf, (size_t)n))
			break;
	if (n == 0)
		good++;
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	static pthread_t thread[COUNT_MAX];
	bool serve = argc == 4 && !strcmp(argv[1], "serve");
	unsigned count = argc > 3 ? (unsigned)atoi(argv[serve ? 3 : 4]) : 0;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (count == 0 || count > COUNT_MAX || (!serve && argc != 6)) {
		fprintf(stderr, "usage: connect PATH PORT COUNT BYTES, or serve PATH COUNT\n");
		return EXIT_FAILURE;
	}
	alarm(TIME_MAX);
	pthread_barrier_init(&all_open, NULL, count);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[2]);
	if (serve && (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
			     listen(listener, (int)count) < 0)) {
		perror("vsock-peer");
		return EXIT_FAILURE;
	}
	if (!serve) {
		port = argv[3];
		bytes = (size_t)atol(argv[5]);
	}
	for (unsigned i = 0; i < count; i++) {
		size_t arg = serve ? (size_t)accept(listener, NULL, NULL) : i;
		pthread_create(&thread[i], NULL, serve ? echo : client, (void *)arg);
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
	printf("%u\n", good);
	return good == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
