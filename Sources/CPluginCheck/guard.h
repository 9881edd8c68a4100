/* Memory that ends at a page which nobody may touch, and what is said of whoever does. */
#ifndef MILLRACE_GUARD_H
#define MILLRACE_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum guard_kind { GUARD_CLAIM, GUARD_INPUT, GUARD_OUTCOME, GUARD_MESSAGE, GUARD_DRAFT };

typedef struct guard guard;

/* `length` writable bytes, aligned to `alignment`, that end at a closed page or less than `alignment` bytes before. NULL: no memory, or 8,192 are open. */
guard *guard_make(enum guard_kind kind, uint64_t length, uint64_t alignment);
void *guard_bytes(const guard *block);
/* Whether the bytes between the end and the closed page are as they were. */
int guard_is_whole(const guard *block);
void guard_read_only(const guard *block);
/* Closed: who touches it is told. Opened again, it is as empty as new. */
void guard_shut(guard *block);
void guard_open(guard *block);
/* Shut, and forgotten once the place is needed. */
void guard_retire(guard *block);
/* An own stack for what is told by this thread; `check_catch` is of no use to it without. */
void guard_thread(void);

#endif
