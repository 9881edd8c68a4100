/* The trace: what a crash could see of a program, in one order.
 *
 * A file of 16 bytes of head, "millrace-trace" 1 0 (the version, a zero), and records, one behind the other, little-endian, unaligned:
 *
 *   offset size
 *    0     4   length of the record, this field and the tail included
 *    4     2   kind (enum record_kind)
 *    6     2   phase: 0 the call begins, 1 it has returned, 2 a moment
 *    8     8   call: joins begin and return; the process in the upper half
 *   16     8   inode of the descriptor's file or directory, of what an open gave or a mkdir made; 0 where there is none
 *   24     8   offset: of a write or allocation; the size of a truncation
 *   32     8   count: bytes that a write asks for, length of an allocation
 *   40     8   result of the call, or -errno
 *   48     4   flags: open flags (of a write those of its descriptor, with O_DSYNC for RWF_DSYNC), mode of fallocate; for sync 1: of data only
 *   52     4   the thread
 *   56     4   created (1: the open made the file), directory (2: the inode is one)
 *   60     2   length of the name
 *   62     2   length of the second name (rename and link: the new one)
 *   64         name, second name: paths from the directory ("" is itself); then the bytes of a write or mark
 *
 * A begin is in the trace before the call reaches the kernel, a return after it came back and before the program sees that. So a write may be on
 * the disk from its begin on; a sync covers what had returned before the sync's own begin, from the sync's return on; and what a program does
 * because a call returned stands behind that return, in whichever thread. A mark stands in the trace before anybody can read it.
 * Each record is one append to the file: nothing is lost when the process dies, and children write into the same order.
 */
#pragma once
#include "interpose.h"

enum record_kind {
  record_open = 1,      /* with O_CREAT or O_TRUNC begin and return, else the return of one that succeeded */
  record_write = 2,
  record_allocate = 3,  /* fallocate and its like */
  record_truncate = 4,
  record_rename = 5,
  record_unlink = 6,
  record_rmdir = 7,
  record_link = 8,
  record_mkdir = 9,
  record_sync = 10,     /* fsync, fdatasync; of a directory too; inode 0: of everything */
  record_mark = 11,     /* what the program wrote to the descriptor of its marks */
  record_unseen = 12,   /* the name: a call by which files change unseen. The trace is not whole */
};

void record_unseen_call(const char *function, const char *path);
