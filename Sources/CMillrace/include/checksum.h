/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as of iSCSI, RFC 3720. */
#ifndef MILLRACE_CHECKSUM_H
#define MILLRACE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The state after `count` more bytes. It starts as the seed and is not inverted at either end: `~millrace_crc32c(~0u, bytes, count)` is the CRC as it is
   published. By the processor's instruction where it has one (10 GB/s), by a table otherwise. */
uint32_t millrace_crc32c(uint32_t state, const void *bytes, size_t count);

/* As above, by the table: what the instruction is checked against. */
uint32_t millrace_crc32c_table(uint32_t state, const void *bytes, size_t count);

#endif
