// SPDX-License-Identifier: Apache-2.0
/*
 * The socket device (virtio 1.2, 5.10): queues, event loop and the life of connections. A worker
 * owns it all while the driver is active; between two drivers there are no connections, and who
 * connects to the host's socket waits in its backlog.
 *
 * What a guest can make us hold is bounded: connections by their number (a REQUEST too many is
 * refused), each with one ring (vsock_conn.h); packets owed to the guest are flags of a connection,
 * and the RSTs that belong to none are a queue of fixed length: when it is full, packets of the
 * guest wait until it takes some (5.10.6.2.2).
 *
 * Receive buffers go to the connections in turn, one packet each. A connection without something to
 * deliver is not in the turn, one with something to deliver and without a buffer is, and is not
 * waited for by epoll: the driver's next kick goes on with it.
 *
 * The event queue is there for VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (5.10.6.7), by which a guest
 * learns that its connections are gone without its doing. Nothing here does that yet, so its
 * buffers stay with us.
 */
#include "virtio/vsock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "backend/vsock_host.h"
#include "util/err.h"
#include "util/fd.h"
#include "virtio/pci.h"
#include "virtio/vsock_table.h"
#include "virtio/worker.h"

#define QUEUE_SIZE      256u
#define CONNECTIONS_MAX 1024u
#define GREETINGS_MAX   256u /* the oldest is turned away for a new one */
#define RESETS_MAX      128u
#define TURN_PACKETS    64u    /* of one queue, until others have had their turn */
#define ACCEPT_AGAIN_US 100000 /* when there are no descriptors left */

/* While a listener's backlog is full; altogether as long as Linux waits for an answer. */
#define CONNECT_AGAIN_US 10000
#define CONNECT_TRIES    200u

struct vsock {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct virtio_workers workers;
	struct vsock_host *host;
	struct vsock_config config;
	uint64_t cid;
	unsigned connections_max;

	_Atomic unsigned connections;
	_Atomic uint64_t to_guest, from_guest; /* bytes of payload */

	/* below: the worker's */
	struct loop *loop;
	struct loop_source *listener, *accept_timer, *connect_timer;
	struct vsock_table table;
	struct vsock_conn_list all, greetings, connecting, ready, dead;
	unsigned greeting_count;
	struct vsock_packet reset[RESETS_MAX]; /* a ring: owed to the guest */
	unsigned reset_first, reset_count;
	bool tx_waits; /* for room there */
	bool have_rx;
	struct virtq_chain rx, tx;
};

/* --- connections --- */

static void conn_event(void *opaque, uint32_t events);

static void move_to(struct vsock_conn *c, struct vsock_conn_list *queue)
{
	if (c->queue == queue)
		return;
	if (c->queue)
		TAILQ_REMOVE(c->queue, c, waiting);
	if (queue)
		TAILQ_INSERT_TAIL(queue, c, waiting);
	c->queue = queue;
}

static void set_ready(struct vsock *v, struct vsock_conn *c)
{
	if (c->state != VSOCK_GREETING && vsock_conn_pending(c))
		move_to(c, &v->ready);
}

/* NULL: no memory, or no more connections. */
static struct vsock_conn *new_conn(struct vsock *v)
{
	struct vsock_conn *c = v->connections < v->connections_max ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	c->owner = v;
	c->fd = -1;
	TAILQ_INSERT_TAIL(&v->all, c, all);
	v->connections++;
	return c;
}

/* Gives @fd to @c, or closes it. */
static bool set_fd(struct vsock *v, struct vsock_conn *c, int fd)
{
	AUTO_CLOSE int own = fd;
	if (loop_add_fd(v->loop, own, 0, conn_event, c, &c->source, NULL) < 0)
		return false;
	c->fd = TAKE_FD(own);
	return true;
}

static void close_fd(struct vsock_conn *c)
{
	loop_remove(c->source);
	c->source = NULL;
	fd_close(&c->fd);
}

static void enter_table(struct vsock *v, struct vsock_conn *c)
{
	vsock_table_add(&v->table, c);
	c->in_table = true;
}

/* Does what the connection's state asks for: turn, descriptor, events, end. One that has ended is
 * freed by the next callback, since the present one may still look at it. */
static void settle(struct vsock *v, struct vsock_conn *c)
{
	if (c->in_table && vsock_conn_detached(c)) {
		vsock_table_remove(&v->table, c);
		c->in_table = false;
	}
	if (!vsock_conn_needs_fd(c))
		close_fd(c);
	else
		loop_set_events(c->source, vsock_conn_interest(c));
	if (c->state == VSOCK_DEAD) {
		move_to(c, NULL);
		TAILQ_REMOVE(&v->all, c, all);
		TAILQ_INSERT_TAIL(&v->dead, c, all);
		v->connections--;
	} else {
		set_ready(v, c);
	}
}

static void bury(struct vsock *v)
{
	struct vsock_conn *c;
	while ((c = TAILQ_FIRST(&v->dead))) {
		TAILQ_REMOVE(&v->dead, c, all);
		vsock_conn_done(c);
		free(c);
	}
}

static void close_all(struct vsock *v)
{
	struct vsock_conn *c;
	while ((c = TAILQ_FIRST(&v->all))) {
		TAILQ_REMOVE(&v->all, c, all);
		move_to(c, NULL);
		close_fd(c);
		TAILQ_INSERT_TAIL(&v->dead, c, all);
	}
	bury(v);
	memset(&v->table, 0, sizeof(v->table));
	v->connections = 0;
	v->greeting_count = 0;
}

/* --- to the guest --- */

static void owe_reset(struct vsock *v, const struct vsock_packet *p)
{
	if (p->op == VSOCK_OP_RST)
		return;
	v->reset[(v->reset_first + v->reset_count++) % RESETS_MAX] = vsock_packet_reset(p);
}

/* A receive buffer, kept until something is put into it. */
static bool get_rx(struct vsock *v)
{
	while (!v->have_rx) {
		v->have_rx = virtio_queue_pop(&v->virtio, VSOCK_QUEUE_RX, &v->rx);
		if (!v->have_rx && !virtio_queue_kicks_on(&v->virtio, VSOCK_QUEUE_RX))
			return false;
	}
	if (v->rx.in_size > VSOCK_HEADER_SIZE)
		return true;
	virtio_device_fail(&v->virtio, "a receive buffer without room for a header and data");
	return false;
}

static void put_rx(struct vsock *v, struct vsock_packet *p)
{
	vsock_packet_write(&v->rx, p);
	v->have_rx = false;
	v->to_guest += p->len;
	virtio_queue_put(&v->virtio, VSOCK_QUEUE_RX, &v->rx, VSOCK_HEADER_SIZE + p->len);
}

static void deliver_one(struct vsock *v)
{
	struct vsock_packet p;
	if (v->reset_count) {
		put_rx(v, &v->reset[v->reset_first]);
		v->reset_first = (v->reset_first + 1) % RESETS_MAX;
		v->reset_count--;
		return;
	}
	struct vsock_conn *c = TAILQ_FIRST(&v->ready);
	move_to(c, NULL); /* and to the end, if there is more */
	if (vsock_conn_produce(c, &v->rx, &p)) {
		p.src_cid = VSOCK_CID_HOST;
		p.dst_cid = v->cid;
		put_rx(v, &p);
	}
	settle(v, c);
}

static void deliver(struct vsock *v)
{
	unsigned turn = 0;
	virtio_queue_kicks_off(&v->virtio, VSOCK_QUEUE_RX);
	while ((v->reset_count || !TAILQ_EMPTY(&v->ready)) && get_rx(v)) {
		if (turn++ == TURN_PACKETS) {
			virtio_device_kick(&v->virtio, VSOCK_QUEUE_RX);
			return;
		}
		deliver_one(v);
	}
}

/* --- from the guest --- */

/* A listener of the host's that has no place for now may have one soon: a program that connects to
 * it directly would wait. */
static void try_connect(struct vsock *v, struct vsock_conn *c)
{
	int fd = vsock_host_connect(v->host, c->host_port);
	if (fd == -EAGAIN && c->tries++ < CONNECT_TRIES) {
		move_to(c, &v->connecting);
		loop_arm(v->connect_timer, CONNECT_AGAIN_US, 0);
		return;
	}
	move_to(c, NULL);
	if (fd >= 0 && set_fd(v, c, fd))
		vsock_conn_connected(c);
	else
		vsock_conn_refused(c);
}

static void guest_connects(struct vsock *v, const struct vsock_packet *p)
{
	struct vsock_conn *c = new_conn(v);
	if (!c) {
		owe_reset(v, p);
		return;
	}
	vsock_conn_init_guest(c, p);
	enter_table(v, c);
	try_connect(v, c);
	settle(v, c);
}

static void take_packet(struct vsock *v, const struct vsock_packet *p)
{
	switch (vsock_packet_judge(p, v->cid)) {
	case VSOCK_DROP:
		return;
	case VSOCK_REFUSE:
		owe_reset(v, p);
		return;
	case VSOCK_TAKE:
		break;
	}
	struct vsock_conn *c = vsock_table_find(&v->table, p->src_port, p->dst_port);
	if (c) {
		v->from_guest += vsock_conn_receive(c, p, &v->tx);
		settle(v, c);
	} else if (p->op == VSOCK_OP_REQUEST) {
		guest_connects(v, p);
	} else {
		owe_reset(v, p);
	}
}

static void take_packets(struct vsock *v)
{
	struct virtio_device *dev = &v->virtio;
	unsigned turn = 0;
	do {
		virtio_queue_kicks_off(dev, VSOCK_QUEUE_TX);
		for (;;) {
			v->tx_waits = v->reset_count == RESETS_MAX;
			if (v->tx_waits)
				return;
			if (turn++ == TURN_PACKETS) {
				virtio_device_kick(dev, VSOCK_QUEUE_TX);
				return;
			}
			if (!virtio_queue_pop(dev, VSOCK_QUEUE_TX, &v->tx))
				break;
			struct vsock_packet p;
			const char *wrong = vsock_packet_read(&v->tx, &p);
			if (wrong) {
				virtio_device_fail(dev, wrong);
				return;
			}
			take_packet(v, &p);
			virtio_queue_put(dev, VSOCK_QUEUE_TX, &v->tx, 0);
		}
	} while (virtio_queue_kicks_on(dev, VSOCK_QUEUE_TX));
}

/* Each callback ends with this: what it has brought about goes to the guest. */
static void work(struct vsock *v)
{
	deliver(v);
	virtio_queue_signal(&v->virtio, VSOCK_QUEUE_RX);
	if (v->tx_waits && v->reset_count < RESETS_MAX)
		virtio_device_kick(&v->virtio, VSOCK_QUEUE_TX);
}

/* --- events of the host --- */

static void leave_greetings(struct vsock *v, struct vsock_conn *c)
{
	move_to(c, NULL);
	v->greeting_count--;
}

static void greet(struct vsock *v, struct vsock_conn *c)
{
	uint32_t port;
	int rc = vsock_conn_greet(c, &port);
	if (rc == 0)
		return;
	leave_greetings(v, c);
	if (rc > 0) {
		vsock_conn_request(c, port, vsock_table_new_port(&v->table, port));
		enter_table(v, c);
	}
}

static void conn_event(void *opaque, uint32_t events)
{
	struct vsock_conn *c = opaque;
	struct vsock *v = c->owner;
	bury(v);
	if (c->state == VSOCK_GREETING)
		greet(v, c);
	else
		vsock_conn_event(c, events);
	/* First deliver, then look what to wait for: most often that has not changed then. */
	set_ready(v, c);
	work(v);
	if (c->source) /* else that has been done */
		settle(v, c);
}

/* A program of the host on @fd, which is taken. */
static void host_connects(struct vsock *v, int fd)
{
	if (v->greeting_count == GREETINGS_MAX) {
		struct vsock_conn *oldest = TAILQ_FIRST(&v->greetings);
		leave_greetings(v, oldest);
		oldest->state = VSOCK_DEAD;
		settle(v, oldest);
	}
	struct vsock_conn *c = new_conn(v);
	if (!c) {
		fd_close(&fd);
		return;
	}
	vsock_conn_init_host(c);
	if (set_fd(v, c, fd)) {
		move_to(c, &v->greetings);
		v->greeting_count++;
	} else {
		c->state = VSOCK_DEAD;
	}
	settle(v, c);
}

static void host_connected(void *opaque, uint32_t events)
{
	struct vsock *v = opaque;
	bury(v);
	for (unsigned turn = 0; turn < TURN_PACKETS; turn++) {
		int fd = vsock_host_accept(v->host);
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
			loop_set_events(v->listener, 0);
			loop_arm(v->accept_timer, ACCEPT_AGAIN_US, 0);
		}
		if (fd < 0)
			break;
		host_connects(v, fd);
	}
	work(v);
}

static void connect_again(void *opaque)
{
	struct vsock *v = opaque;
	struct vsock_conn_list due = TAILQ_HEAD_INITIALIZER(due);
	struct vsock_conn *c;
	bury(v);
	while ((c = TAILQ_FIRST(&v->connecting)))
		move_to(c, &due);
	while ((c = TAILQ_FIRST(&due))) {
		try_connect(v, c);
		settle(v, c);
	}
	work(v);
}

static void accept_again(void *opaque)
{
	struct vsock *v = opaque;
	loop_set_events(v->listener, EPOLLIN);
}

/* --- the worker --- */

static struct vsock *of_worker(struct virtio_worker *w)
{
	return container_of(w->set->dev, struct vsock, virtio);
}

static void vsock_begin(struct virtio_worker *w)
{
	struct vsock *v = of_worker(w);
	loop_set_events(v->listener, EPOLLIN);
}

static void vsock_kicked(struct virtio_worker *w, unsigned queue)
{
	struct vsock *v = of_worker(w);
	bury(v);
	if (queue == VSOCK_QUEUE_TX) {
		take_packets(v);
		virtio_queue_signal(&v->virtio, VSOCK_QUEUE_TX);
	}
	work(v);
}

static bool vsock_end(struct virtio_worker *w)
{
	struct vsock *v = of_worker(w);
	loop_arm(v->accept_timer, 0, 0);
	loop_arm(v->connect_timer, 0, 0);
	loop_set_events(v->listener, 0);
	close_all(v);
	v->reset_first = v->reset_count = 0;
	v->tx_waits = v->have_rx = false;
	return true;
}

static const struct virtio_worker_ops worker_ops = {
	.begin = vsock_begin,
	.kicked = vsock_kicked,
	.end = vsock_end,
};

static void vsock_activate(struct virtio_device *dev)
{
	virtio_workers_activate(&container_of(dev, struct vsock, virtio)->workers);
}

static bool vsock_deactivate(struct virtio_device *dev)
{
	virtio_workers_deactivate(&container_of(dev, struct vsock, virtio)->workers);
	return false;
}

static const struct virtio_model vsock_model = {
	.name = "virtio-vsock",
	.id = 19,
	.activate = vsock_activate,
	.deactivate = vsock_deactivate,
};

/* --- life --- */

static int vsock_start(struct device *dev, struct lacuna_error **err)
{
	return virtio_workers_start(&container_of(dev, struct vsock, dev)->workers, err);
}

static void vsock_stop(struct device *dev)
{
	virtio_workers_stop(&container_of(dev, struct vsock, dev)->workers);
}

static void vsock_destroy(struct device *dev)
{
	struct vsock *v = container_of(dev, struct vsock, dev);
	virtio_workers_stop(&v->workers);
	close_all(v);
	loop_remove(v->listener);
	loop_remove(v->accept_timer);
	loop_remove(v->connect_timer);
	virtio_workers_done(&v->workers);
	virtio_pci_free(v->pci);
	virtio_device_done(&v->virtio);
	vsock_host_free(v->host);
	free(v);
}

static void emit_number(void (*emit)(void *opaque, const char *key, const char *value),
	void *opaque, const char *key, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, number);
	emit(opaque, key, text);
}

static void vsock_get(struct device *dev,
	void (*emit)(void *opaque, const char *key, const char *value), void *opaque)
{
	const struct vsock *v = container_of(dev, struct vsock, dev);
	emit_number(emit, opaque, "connections", v->connections);
	emit_number(emit, opaque, "rx-bytes", v->to_guest);
	emit_number(emit, opaque, "tx-bytes", v->from_guest);
}

static int read_options(struct vsock *v, const struct keyval *args, struct lacuna_error **err)
{
	const char *path = keyval_get(args, "path");
	if (!keyval_get(args, "cid"))
		return err_set(err, EINVAL, "no context identifier given: cid=N, 3 or more");
	if (!path || !*path)
		return err_set(err, EINVAL, "no socket given: path=FILE");
	int rc = keyval_u64(args, "cid", 0, VSOCK_CID_GUEST_MIN, VSOCK_CID_GUEST_MAX, &v->cid, err);
	if (rc == 0)
		rc = vsock_host_new(path, &v->host, err);
	return rc;
}

/* Half of the process's descriptors are for others. */
static unsigned find_connections_max(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return CONNECTIONS_MAX;
	return (unsigned)min_u64(CONNECTIONS_MAX, limit.rlim_cur / 2);
}

static unsigned worker_of(const struct virtio_device *dev, unsigned queue)
{
	return 0;
}

static int make_device(struct vsock *v, const struct device_env *env, struct lacuna_error **err)
{
	int rc = virtio_device_init(&v->virtio, &vsock_model, env->mem, env->log, VSOCK_F_STREAM,
		VSOCK_QUEUE_COUNT, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	v->virtio.name = v->dev.name;
	v->config.guest_cid = htole64(v->cid);
	v->virtio.config = &v->config;
	v->virtio.config_size = sizeof(v->config);
	rc = virtio_workers_init(&v->workers, &v->virtio, 1, worker_of, &worker_ops, err);
	if (rc < 0)
		return rc;
	v->loop = v->workers.worker[0].loop;
	rc = loop_add_fd(v->loop, vsock_host_fd(v->host), 0, host_connected, v, &v->listener, err);
	if (rc == 0)
		rc = loop_add_timer(v->loop, accept_again, v, &v->accept_timer, err);
	if (rc == 0)
		rc = loop_add_timer(v->loop, connect_again, v, &v->connect_timer, err);
	if (rc == 0)
		rc = virtio_pci_new(&v->virtio, env, &v->pci, err);
	return rc;
}

static int vsock_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	struct vsock *v = calloc(1, sizeof(*v));
	if (!v)
		return err_nomem(err);
	v->dev.class = &virtio_vsock_class;
	v->connections_max = find_connections_max();
	TAILQ_INIT(&v->all);
	TAILQ_INIT(&v->greetings);
	TAILQ_INIT(&v->connecting);
	TAILQ_INIT(&v->ready);
	TAILQ_INIT(&v->dead);
	int rc = read_options(v, args, err);
	if (rc == 0)
		rc = make_device(v, env, err);
	if (rc < 0) {
		vsock_destroy(&v->dev);
		return rc;
	}
	*ret = &v->dev;
	return 0;
}

static const char *const vsock_keys[] = { "cid", "path", NULL };

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.option = "vsock",
	.keys = vsock_keys,
	.single = true,
	.create = vsock_create,
	.start = vsock_start,
	.stop = vsock_stop,
	.destroy = vsock_destroy,
	.get = vsock_get,
};
