/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and capabilities of virtio over PCI (virtio 1.2, 4.1.4), and where this device puts
 * them. */
#ifndef VIRTIO_PCI_LAYOUT_H
#define VIRTIO_PCI_LAYOUT_H

#include <assert.h>
#include <stdint.h>

#include "util/bytes.h"

#define VIRTIO_PCI_VENDOR      0x1af4u
#define VIRTIO_PCI_DEVICE_BASE 0x1040u /* + device id, 4.1.2 */

#define VIRTIO_MSI_NO_VECTOR 0xffffu

/* The BAR: one page each, so that a nested guest can be given the notify page alone. */
#define VP_BAR         0u
#define VP_BAR_SIZE    0x4000u
#define VP_COMMON      0x0000u
#define VP_COMMON_SIZE 0x38u
#define VP_ISR         0x0040u
#define VP_ISR_SIZE    1u
#define VP_DEVICE      0x0100u
#define VP_DEVICE_SIZE 0x100u
/* where a larger configuration is, in a BAR of twice the size */
#define VP_DEVICE_LARGE      0x4000u
#define VP_DEVICE_LARGE_SIZE 0x1000u
#define VP_NOTIFY            0x1000u
#define VP_NOTIFY_STEP       4u /* notify_off_multiplier */
#define VP_MSIX_TABLE        0x2000u
#define VP_MSIX_PBA          0x3000u
#define VP_MAX_QUEUES        255u /* with the configuration vector, the MSI-X table fills its page */

/* 4.1.4.3: common configuration. 64-bit registers are two of 32 bits. */
enum {
	VP_DEVICE_FEATURE_SELECT = 0x00,
	VP_DEVICE_FEATURE = 0x04,
	VP_DRIVER_FEATURE_SELECT = 0x08,
	VP_DRIVER_FEATURE = 0x0c,
	VP_CONFIG_VECTOR = 0x10,
	VP_NUM_QUEUES = 0x12,
	VP_STATUS = 0x14,
	VP_GENERATION = 0x15,
	VP_QUEUE_SELECT = 0x16,
	VP_QUEUE_SIZE = 0x18,
	VP_QUEUE_VECTOR = 0x1a,
	VP_QUEUE_ENABLE = 0x1c,
	VP_QUEUE_NOTIFY_OFF = 0x1e,
	VP_QUEUE_DESC = 0x20,
	VP_QUEUE_DRIVER = 0x28,
	VP_QUEUE_DEVICE = 0x30,
};

/* 4.1.4: cfg_type */
enum {
	VP_CAP_COMMON = 1,
	VP_CAP_NOTIFY = 2,
	VP_CAP_ISR = 3,
	VP_CAP_DEVICE = 4,
	VP_CAP_PCI = 5,
};

/* A capability after its id and next pointer. */
struct vp_cap {
	uint8_t cap_len;
	uint8_t cfg_type;
	uint8_t bar;
	uint8_t id;
	uint8_t padding[2];
	le32 offset;
	le32 length;
	le32 more; /* notify_off_multiplier or pci_cfg_data; the other types end before it */
} __attribute__((packed));
static_assert(sizeof(struct vp_cap) == 18, "virtio 1.2, 4.1.4");

#define VP_CAP_SIZE      16u
#define VP_CAP_SIZE_MORE 20u
/* from the start of the capability */
#define VP_CAP_AT_BAR    4u
#define VP_CAP_AT_OFFSET 8u
#define VP_CAP_AT_LENGTH 12u
#define VP_CAP_AT_DATA   16u

#define VP_ISR_QUEUE  1u
#define VP_ISR_CONFIG 2u

#endif
