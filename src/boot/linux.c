// SPDX-License-Identifier: Apache-2.0
/* bzImage and boot_params: the 64-bit Linux/x86 boot protocol (Documentation/arch/x86/boot.rst),
 * from version 2.12. */
#include <abi/layout.h>
#include <assert.h>

#include "boot/kernel.h"
#include "util/err.h"

/* Offsets in boot_params (Documentation/arch/x86/zero-page.rst); the setup header's are the same in
 * the file. */
enum {
	BP_ACPI_RSDP_ADDR = 0x070, /* since 2.14; padding before */
	BP_E820_ENTRIES = 0x1e8,
	BP_SETUP_SECTS = 0x1f1,
	BP_SYSSIZE = 0x1f4,
	BP_BOOT_FLAG = 0x1fe,
	BP_JUMP = 0x200,
	BP_HEADER = 0x202,
	BP_VERSION = 0x206,
	BP_TYPE_OF_LOADER = 0x210,
	BP_LOADFLAGS = 0x211,
	BP_RAMDISK_IMAGE = 0x218,
	BP_RAMDISK_SIZE = 0x21c,
	BP_CMD_LINE_PTR = 0x228,
	BP_INITRD_ADDR_MAX = 0x22c,
	BP_KERNEL_ALIGNMENT = 0x230,
	BP_XLOADFLAGS = 0x236,
	BP_CMDLINE_SIZE = 0x238,
	BP_PAYLOAD_OFFSET = 0x248,
	BP_PAYLOAD_LENGTH = 0x24c,
	BP_SETUP_DATA = 0x250,
	BP_PREF_ADDRESS = 0x258,
	BP_INIT_SIZE = 0x260,
	BP_HEADER_END_2_12 = 0x268,
	BP_E820_TABLE = 0x2d0,
	BP_SIZE = 0x1000,
};

#define SECTOR              512u
#define SYSSIZE_UNIT        16u
#define E820_ENTRY_SIZE     20
#define BOOT_FLAG           0xaa55
#define HEADER_MAGIC        0x53726448 /* "HdrS" */
#define VERSION_2_12        0x020c
#define LOADED_HIGH         0x01
#define XLF_KERNEL_64       0x0001
#define ENTRY_64            0x200 /* of startup_64, from where the kernel was loaded */
#define LOADER_UNREGISTERED 0xff

/* struct setup_data (boot.rst, setup_data): a list of these, of which ours has one */
#define SETUP_DATA_TYPE 8
#define SETUP_DATA_LEN  12
#define SETUP_DTB       2

static_assert(LAYOUT_CMDLINE + LAYOUT_CMDLINE_MAX <= LAYOUT_FDT &&
		      LAYOUT_FDT + LAYOUT_FDT_MAX <= LAYOUT_EBDA,
	"the device tree has no place");
static_assert(BP_E820_TABLE + E820_MAX * E820_ENTRY_SIZE <= 0xcd0, "e820_table has 128 entries");

/* A field of the setup header, by its offset in boot_params. */
static const uint8_t *field(const struct kernel *k, unsigned offset)
{
	return k->header + (offset - LINUX_HEADER_OFFSET);
}

bool linux_probe(const struct image *image)
{
	uint8_t head[BP_VERSION];
	return image_read(image, 0, head, sizeof(head), NULL) == 0 &&
	       load_le16(head + BP_BOOT_FLAG) == BOOT_FLAG &&
	       load_le32(head + BP_HEADER) == HEADER_MAGIC;
}

static int read_header(const struct image *image, struct kernel *k, struct lacuna_error **err)
{
	uint8_t jump[2];
	int rc = image_read(
		image, LINUX_HEADER_OFFSET, k->header, BP_LOADFLAGS + 1 - LINUX_HEADER_OFFSET, err);
	if (rc < 0)
		return rc;
	unsigned version = load_le16(field(k, BP_VERSION));
	if (version < VERSION_2_12)
		return err_set(err, ENOEXEC,
			"is a Linux kernel with boot protocol %u.%02u, too old: 2.12 (Linux 3.8) or later "
			"is needed",
			version >> 8, version & 0xff);
	/* The operand of the jump over the header tells where the header ends. */
	memcpy(jump, field(k, BP_JUMP), sizeof(jump));
	unsigned end = BP_JUMP + 2 + jump[1];
	if (end < BP_HEADER_END_2_12)
		return err_set(err, EINVAL, "is a corrupt bzImage: its header ends at 0x%x", end);
	if (end > LINUX_HEADER_END)
		end = LINUX_HEADER_END;
	return image_read(image, LINUX_HEADER_OFFSET, k->header, end - LINUX_HEADER_OFFSET, err);
}

/* The protected-mode kernel: where it is in the file and in RAM. */
struct layout {
	uint64_t offset, size;
	uint64_t in_file;      /* the last of its 16-byte units may be cut off there */
	uint64_t payload_size; /* 0: the header tells of none */
	gpa_t load;
	uint64_t init_size; /* from load on, what it needs until it has unpacked itself */
};

static int read_layout(const struct image *image, const struct kernel *k, struct layout *ret,
	struct lacuna_error **err)
{
	uint64_t setup_sects = *field(k, BP_SETUP_SECTS) ? *field(k, BP_SETUP_SECTS) : 4;
	uint64_t payload = load_le32(field(k, BP_PAYLOAD_OFFSET));
	uint64_t payload_size = load_le32(field(k, BP_PAYLOAD_LENGTH));
	uint64_t align = load_le32(field(k, BP_KERNEL_ALIGNMENT));
	struct layout l = {
		.offset = (setup_sects + 1) * SECTOR,
		.size = (uint64_t)load_le32(field(k, BP_SYSSIZE)) * SYSSIZE_UNIT,
		.load = load_le64(field(k, BP_PREF_ADDRESS)),
		.init_size = load_le32(field(k, BP_INIT_SIZE)),
	};
	uint64_t end = l.offset + l.size;
	if (image->size < l.offset || image->size + SYSSIZE_UNIT <= end)
		return err_set(err, EINVAL, "is a truncated bzImage: has %llu of %llu bytes",
			(unsigned long long)image->size, (unsigned long long)end);
	l.in_file = min_u64(l.size, image->size - l.offset);
	if (l.in_file <= ENTRY_64 || payload > l.in_file || payload_size > l.in_file - payload ||
		(!payload_size && payload))
		return err_set(err, EINVAL,
			"is a corrupt bzImage: its payload (0x%llx bytes at 0x%llx) is not inside its code "
			"(0x%llx bytes)",
			(unsigned long long)payload_size, (unsigned long long)payload,
			(unsigned long long)l.size);
	if (l.init_size < l.size)
		return err_set(err, EINVAL,
			"is a corrupt bzImage: init_size 0x%llx is less than its code",
			(unsigned long long)l.init_size);
	if (!is_power_of_2(align) || l.load % align || l.load < LAYOUT_KERNEL)
		return err_set(err, EINVAL,
			"is a corrupt bzImage: pref_address 0x%llx with kernel_alignment 0x%llx",
			(unsigned long long)l.load, (unsigned long long)align);
	l.payload_size = payload_size;
	*ret = l;
	return 0;
}

/* What the header says, checked. */
static int read_checked(
	const struct image *image, struct kernel *k, struct layout *ret, struct lacuna_error **err)
{
	int rc = read_header(image, k, err);
	if (rc < 0)
		return rc;
	if (!(*field(k, BP_LOADFLAGS) & LOADED_HIGH))
		return err_set(err, ENOEXEC, "is a zImage, not a bzImage: rebuild it as bzImage");
	if (!(load_le16(field(k, BP_XLOADFLAGS)) & XLF_KERNEL_64))
		return err_set(err, ENOEXEC, "is a 32-bit Linux kernel: use one built for x86-64");
	return read_layout(image, k, ret, err);
}

static void take_limits(struct kernel *k)
{
	k->initrd_end_max = (uint64_t)load_le32(field(k, BP_INITRD_ADDR_MAX)) + 1;
	k->cmdline_max = load_le32(field(k, BP_CMDLINE_SIZE));
}

int linux_find_payload(const struct image *image, uint64_t *ret_offset, uint64_t *ret_size,
	struct lacuna_error **err)
{
	struct kernel k = { 0 };
	struct layout l = { 0 };
	int rc = read_checked(image, &k, &l, err);
	if (rc < 0)
		return rc;
	if (!l.payload_size)
		return err_set(err, ENOTSUP,
			"has a header that tells of no compressed kernel: take kernel-unpack=guest");
	*ret_offset = l.offset + load_le32(field(&k, BP_PAYLOAD_OFFSET));
	*ret_size = l.payload_size;
	return 0;
}

int linux_read_limits(const struct image *image, struct kernel *k, struct lacuna_error **err)
{
	int rc = read_header(image, k, err);
	if (rc == 0)
		take_limits(k);
	return rc;
}

int linux_load(
	const struct image *image, struct gmem *mem, struct kernel *ret, struct lacuna_error **err)
{
	struct kernel k = { .mode = BOOT_MODE_LONG64, .bzimage = true, .packed = true };
	struct layout l = { 0 };
	int rc = read_checked(image, &k, &l, err);
	if (rc < 0)
		return rc;
	/*
	 * At the preferred address, even if the kernel is relocatable: it unpacks itself to no
	 * lower address, so another place could not make it fit in less RAM.
	 */
	uint64_t ram = mem->region[0].size;
	if (l.load > ram || l.init_size > ram - l.load)
		return err_set(err, EFBIG,
			"does not fit: needs %llu MiB of RAM from address 0x%llx to unpack itself, the guest "
			"has RAM up to 0x%llx: give it more memory",
			(unsigned long long)(align_up(l.init_size, MIB) / MIB),
			(unsigned long long)l.load, (unsigned long long)ram);
	const struct segment code = {
		.offset = l.offset, .file_size = l.in_file, .gpa = l.load, .size = l.size
	};
	rc = segments_load(&code, 1, image, mem, err);
	if (rc < 0)
		return rc;

	k.entry = l.load + ENTRY_64;
	k.end = l.load + l.init_size;
	take_limits(&k);
	*ret = k;
	return 0;
}

static void write_setup_data(const struct dtb *dtb, const struct gmem *mem)
{
	uint8_t header[DTB_SETUP_DATA_HEADER] = { 0 }; /* no next one */
	store_le32(header + SETUP_DATA_TYPE, SETUP_DTB);
	store_le32(header + SETUP_DATA_LEN, (uint32_t)dtb->size);
	gmem_write(mem, LAYOUT_FDT, header, sizeof(header));
	gmem_write(mem, LAYOUT_FDT + sizeof(header), dtb->data, dtb->size);
}

void linux_hand_over(const struct boot_source *src, const struct kernel *kernel,
	const struct initrd *initrd, const struct dtb *dtb, const struct gmem *mem)
{
	uint8_t bp[BP_SIZE] = { 0 };

	memcpy(bp + LINUX_HEADER_OFFSET, kernel->header, sizeof(kernel->header));
	/* For an ELF kernel the header is empty so far; these are what Linux looks at. */
	store_le16(bp + BP_BOOT_FLAG, BOOT_FLAG);
	store_le32(bp + BP_HEADER, HEADER_MAGIC);
	if (!load_le16(bp + BP_VERSION))
		store_le16(bp + BP_VERSION, VERSION_2_12);
	bp[BP_TYPE_OF_LOADER] = LOADER_UNREGISTERED;
	bp[BP_LOADFLAGS] |= LOADED_HIGH;
	store_le32(bp + BP_RAMDISK_IMAGE, (uint32_t)initrd->gpa);
	store_le32(bp + BP_RAMDISK_SIZE, (uint32_t)initrd->size);
	store_le32(bp + BP_CMD_LINE_PTR, LAYOUT_CMDLINE);
	store_le64(bp + BP_SETUP_DATA, dtb ? LAYOUT_FDT : 0);
	if (dtb)
		write_setup_data(dtb, mem);
	store_le64(bp + BP_ACPI_RSDP_ADDR, src->rsdp);
	bp[BP_E820_ENTRIES] = (uint8_t)src->e820->count;
	e820_store(src->e820, bp + BP_E820_TABLE, E820_ENTRY_SIZE);
	gmem_write(mem, LAYOUT_ZERO_PAGE, bp, sizeof(bp));
}
