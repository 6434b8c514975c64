// SPDX-License-Identifier: Apache-2.0
/* Connections, queues and the event loop of the socket device; vsock_mux.h has the rules. */
#include "virtio/vsock_mux.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "util/err.h"
#include "util/fd.h"

#define CONNECTIONS_MAX 1024u
#define GREETINGS_MAX   256u
#define RESETS_MAX      VSOCK_RESETS_MAX
#define TURN_PACKETS    64u    /* of one queue, until others have had their turn */
#define ACCEPT_AGAIN_US 100000 /* when there are no descriptors left */

/* While a listener's backlog is full; altogether as long as Linux waits for an answer. */
#define CONNECT_AGAIN_US 10000
#define CONNECT_TRIES    200u

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

static void set_ready(struct vsock_mux *m, struct vsock_conn *c)
{
	if (c->state != VSOCK_GREETING && vsock_conn_pending(c))
		move_to(c, &m->ready);
}

/* NULL: no memory, or no more connections. */
static struct vsock_conn *new_conn(struct vsock_mux *m)
{
	struct vsock_conn *c = m->connections < m->connections_max ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	c->owner = m;
	c->fd = -1;
	TAILQ_INSERT_TAIL(&m->all, c, all);
	m->connections++;
	return c;
}

/* Gives @fd to @c, or closes it. */
static bool set_fd(struct vsock_mux *m, struct vsock_conn *c, int fd)
{
	AUTO_CLOSE int own = fd;
	if (loop_add_fd(m->loop, own, 0, conn_event, c, &c->source, NULL) < 0)
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

static void enter_table(struct vsock_mux *m, struct vsock_conn *c)
{
	vsock_table_add(&m->table, c);
	c->in_table = true;
}

/* Does what the connection's state asks for: turn, descriptor, events, end. One that has ended is
 * freed by the next callback, since the present one may still look at it. */
static void settle(struct vsock_mux *m, struct vsock_conn *c)
{
	if (c->in_table && vsock_conn_detached(c)) {
		vsock_table_remove(&m->table, c);
		c->in_table = false;
	}
	if (!vsock_conn_needs_fd(c))
		close_fd(c);
	else
		loop_set_events(c->source, vsock_conn_interest(c));
	if (c->state == VSOCK_DEAD) {
		move_to(c, NULL);
		TAILQ_REMOVE(&m->all, c, all);
		TAILQ_INSERT_TAIL(&m->dead, c, all);
		m->connections--;
	} else {
		set_ready(m, c);
	}
}

static void bury(struct vsock_mux *m)
{
	struct vsock_conn *c;
	while ((c = TAILQ_FIRST(&m->dead))) {
		TAILQ_REMOVE(&m->dead, c, all);
		vsock_conn_done(c);
		free(c);
	}
}

static void close_all(struct vsock_mux *m)
{
	struct vsock_conn *c;
	while ((c = TAILQ_FIRST(&m->all))) {
		TAILQ_REMOVE(&m->all, c, all);
		move_to(c, NULL);
		close_fd(c);
		TAILQ_INSERT_TAIL(&m->dead, c, all);
	}
	bury(m);
	memset(&m->table, 0, sizeof(m->table));
	m->connections = 0;
	m->greeting_count = 0;
}

/* --- to the guest --- */

static void owe_reset(struct vsock_mux *m, const struct vsock_packet *p)
{
	if (p->op == VSOCK_OP_RST)
		return;
	m->reset[(m->reset_first + m->reset_count++) % RESETS_MAX] = vsock_packet_reset(p);
}

/* A receive buffer, kept until something is put into it. */
static bool get_rx(struct vsock_mux *m)
{
	if (!virtio_device_may_run(m->dev))
		return false;
	while (!m->have_rx) {
		m->have_rx = virtio_queue_pop(m->dev, VSOCK_QUEUE_RX, &m->rx);
		if (!m->have_rx && !virtio_queue_kicks_on(m->dev, VSOCK_QUEUE_RX))
			return false;
	}
	if (m->rx.in_size > VSOCK_HEADER_SIZE)
		return true;
	virtio_device_fail(m->dev, "a receive buffer without room for a header and data");
	return false;
}

static void put_rx(struct vsock_mux *m, struct vsock_packet *p)
{
	vsock_packet_write(&m->rx, p);
	m->have_rx = false;
	m->to_guest += p->len;
	virtio_queue_put(m->dev, VSOCK_QUEUE_RX, &m->rx, VSOCK_HEADER_SIZE + p->len);
}

static void deliver_one(struct vsock_mux *m)
{
	struct vsock_packet p;
	if (m->reset_count) {
		put_rx(m, &m->reset[m->reset_first]);
		m->reset_first = (m->reset_first + 1) % RESETS_MAX;
		m->reset_count--;
		return;
	}
	struct vsock_conn *c = TAILQ_FIRST(&m->ready);
	move_to(c, NULL); /* and to the end, if there is more */
	if (vsock_conn_produce(c, &m->rx, &p)) {
		p.src_cid = VSOCK_CID_HOST;
		p.dst_cid = m->cid;
		put_rx(m, &p);
	}
	settle(m, c);
}

static void deliver(struct vsock_mux *m)
{
	unsigned turn = 0;
	virtio_queue_kicks_off(m->dev, VSOCK_QUEUE_RX);
	while ((m->reset_count || !TAILQ_EMPTY(&m->ready)) && get_rx(m)) {
		if (turn++ == TURN_PACKETS) {
			virtio_device_kick(m->dev, VSOCK_QUEUE_RX);
			return;
		}
		deliver_one(m);
	}
}

/* --- from the guest --- */

/* A listener of the host's that has no place for now may have one soon: a program that connects to
 * it directly would wait. */
static void try_connect(struct vsock_mux *m, struct vsock_conn *c)
{
	int fd = vsock_host_connect(m->host, c->host_port);
	if (fd == -EAGAIN && c->tries++ < CONNECT_TRIES) {
		if (TAILQ_EMPTY(&m->connecting)) /* else it runs */
			loop_arm(m->connect_timer, CONNECT_AGAIN_US, 0);
		move_to(c, &m->connecting);
		return;
	}
	move_to(c, NULL);
	if (fd >= 0 && set_fd(m, c, fd))
		vsock_conn_connected(c);
	else
		vsock_conn_refused(c);
}

static void guest_connects(struct vsock_mux *m, const struct vsock_packet *p)
{
	struct vsock_conn *c = new_conn(m);
	if (!c) {
		owe_reset(m, p);
		return;
	}
	vsock_conn_init_guest(c, p);
	enter_table(m, c);
	try_connect(m, c);
	settle(m, c);
}

static void take_packet(struct vsock_mux *m, const struct vsock_packet *p)
{
	switch (vsock_packet_judge(p, m->cid)) {
	case VSOCK_DROP:
		return;
	case VSOCK_REFUSE:
		owe_reset(m, p);
		return;
	case VSOCK_TAKE:
		break;
	}
	struct vsock_conn *c = vsock_table_find(&m->table, p->src_port, p->dst_port);
	if (c) {
		m->from_guest += vsock_conn_receive(c, p, &m->tx);
		settle(m, c);
	} else if (p->op == VSOCK_OP_REQUEST) {
		guest_connects(m, p);
	} else {
		owe_reset(m, p);
	}
}

static void take_packets(struct vsock_mux *m)
{
	struct virtio_device *dev = m->dev;
	unsigned turn = 0;
	do {
		virtio_queue_kicks_off(dev, VSOCK_QUEUE_TX);
		for (;;) {
			m->tx_waits = m->reset_count == RESETS_MAX;
			if (m->tx_waits)
				return;
			if (turn++ == TURN_PACKETS) {
				virtio_device_kick(dev, VSOCK_QUEUE_TX);
				return;
			}
			if (!virtio_queue_pop(dev, VSOCK_QUEUE_TX, &m->tx))
				break;
			struct vsock_packet p;
			const char *wrong = vsock_packet_read(&m->tx, &p);
			if (wrong) {
				virtio_device_fail(dev, wrong);
				return;
			}
			take_packet(m, &p);
			virtio_queue_put(dev, VSOCK_QUEUE_TX, &m->tx, 0);
		}
	} while (virtio_queue_kicks_on(dev, VSOCK_QUEUE_TX));
}

/* Each callback ends with this: what it has brought about goes to the guest. */
static void work(struct vsock_mux *m)
{
	deliver(m);
	virtio_queue_signal(m->dev, VSOCK_QUEUE_RX);
	if (m->tx_waits && m->reset_count < RESETS_MAX)
		virtio_device_kick(m->dev, VSOCK_QUEUE_TX);
}

/* --- events of the host --- */

static void leave_greetings(struct vsock_mux *m, struct vsock_conn *c)
{
	move_to(c, NULL);
	m->greeting_count--;
}

static void greet(struct vsock_mux *m, struct vsock_conn *c)
{
	uint32_t port;
	int rc = vsock_conn_greet(c, &port);
	if (rc == 0)
		return;
	leave_greetings(m, c);
	if (rc > 0) {
		vsock_conn_request(c, port, vsock_table_new_port(&m->table, port));
		enter_table(m, c);
	}
}

static void conn_event(void *opaque, uint32_t events)
{
	struct vsock_conn *c = opaque;
	struct vsock_mux *m = c->owner;
	bury(m);
	if (c->state == VSOCK_GREETING)
		greet(m, c);
	else
		vsock_conn_event(c, events);
	/* First deliver, then look what to wait for: most often that has not changed then. */
	set_ready(m, c);
	work(m);
	if (c->source) /* else that has been done */
		settle(m, c);
}

/* A program of the host on @fd, which is taken. */
static void host_connects(struct vsock_mux *m, int fd)
{
	if (m->greeting_count == GREETINGS_MAX) {
		struct vsock_conn *oldest = TAILQ_FIRST(&m->greetings);
		leave_greetings(m, oldest);
		oldest->state = VSOCK_DEAD;
		settle(m, oldest);
	}
	struct vsock_conn *c = new_conn(m);
	if (!c) {
		fd_close(&fd);
		return;
	}
	vsock_conn_init_host(c);
	if (set_fd(m, c, fd)) {
		move_to(c, &m->greetings);
		m->greeting_count++;
	} else {
		c->state = VSOCK_DEAD;
	}
	settle(m, c);
}

static void host_connected(void *opaque, uint32_t events)
{
	struct vsock_mux *m = opaque;
	bury(m);
	for (unsigned turn = 0; turn < TURN_PACKETS; turn++) {
		int fd = vsock_host_accept(m->host);
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
			loop_set_events(m->listener, 0);
			loop_arm(m->accept_timer, ACCEPT_AGAIN_US, 0);
		}
		if (fd < 0)
			break;
		host_connects(m, fd);
	}
	work(m);
}

static void connect_again(void *opaque)
{
	struct vsock_mux *m = opaque;
	struct vsock_conn_list due = TAILQ_HEAD_INITIALIZER(due);
	struct vsock_conn *c;
	bury(m);
	while ((c = TAILQ_FIRST(&m->connecting)))
		move_to(c, &due);
	while ((c = TAILQ_FIRST(&due))) {
		try_connect(m, c);
		settle(m, c);
	}
	work(m);
}

static void accept_again(void *opaque)
{
	struct vsock_mux *m = opaque;
	loop_set_events(m->listener, EPOLLIN);
}

/* --- the driver --- */

void vsock_mux_begin(struct vsock_mux *m)
{
	loop_set_events(m->listener, EPOLLIN);
}

void vsock_mux_kicked(struct vsock_mux *m, unsigned queue)
{
	bury(m);
	if (queue == VSOCK_QUEUE_TX) {
		take_packets(m);
		virtio_queue_signal(m->dev, VSOCK_QUEUE_TX);
	}
	work(m);
}

void vsock_mux_end(struct vsock_mux *m)
{
	loop_arm(m->accept_timer, 0, 0);
	loop_arm(m->connect_timer, 0, 0);
	loop_set_events(m->listener, 0);
	close_all(m);
	m->reset_first = m->reset_count = 0;
	m->tx_waits = m->have_rx = false;
}

/* --- life --- */

/* Half of the process's descriptors are for others. */
static unsigned find_connections_max(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return CONNECTIONS_MAX;
	return (unsigned)min_u64(CONNECTIONS_MAX, limit.rlim_cur / 2);
}

int vsock_mux_init(struct vsock_mux *m, struct virtio_device *dev, struct loop *loop,
	const struct vsock_host *host, uint64_t cid, struct lacuna_error **err)
{
	m->dev = dev;
	m->loop = loop;
	m->host = host;
	m->cid = cid;
	m->connections_max = find_connections_max();
	TAILQ_INIT(&m->all);
	TAILQ_INIT(&m->greetings);
	TAILQ_INIT(&m->connecting);
	TAILQ_INIT(&m->ready);
	TAILQ_INIT(&m->dead);
	int rc = loop_add_fd(loop, vsock_host_fd(host), 0, host_connected, m, &m->listener, err);
	if (rc == 0)
		rc = loop_add_timer(loop, accept_again, m, &m->accept_timer, err);
	if (rc == 0)
		rc = loop_add_timer(loop, connect_again, m, &m->connect_timer, err);
	return rc;
}

void vsock_mux_done(struct vsock_mux *m)
{
	close_all(m);
	loop_remove(m->listener);
	loop_remove(m->accept_timer);
	loop_remove(m->connect_timer);
}
