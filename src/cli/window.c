// SPDX-License-Identifier: Apache-2.0
/* The window's size (ioctl_tty(2), TIOCGWINSZ) as a property of a device. */
#include "cli/window.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static _Atomic int followed = -1;

void window_follow(int port)
{
	followed = port;
}

void window_report(struct lacuna_vm *vm)
{
	struct winsize w;
	char properties[64];
	int port = followed;
	if (port < 0 || ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
		return;
	snprintf(properties, sizeof(properties), "port=%d,size=%ux%u", port, w.ws_col, w.ws_row);
	/* It can only fail when the machine is about to end. */
	lacuna_vm_device_set(vm, "console0", properties, NULL);
}
