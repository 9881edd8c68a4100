/*
 * The magazines of free blocks of a message pool, here a block each: they are pushed by a CAS each, and some of them popped by a CAS of who has the lock.
 * Mirrors MessagePool.give and MessagePool.take; one step here is one atomic operation, one read or one write of a link there.
 *
 * Each thread takes up to two, holds them for a while as its own, and gives them back one at a time; it does so ROUNDS times.
 *
 * Holds: no block is held twice, and none is lost: when all are at rest every block is in the list once.
 * Bounded: 3 threads, 3 blocks, 2 rounds.
 * Mistakes that must be found:
 * -DPLAIN_PUSH [held]  the list is pushed by a load and a store
 * -DNO_LOCK [held]  several pop at a time: a link that one has read another may have changed
 * -DPLAIN_POP [held]  blocks are popped by a store: what came meanwhile is lost
 * -DLINK_LATE [held]  the block leads to the old top only after it was pushed
 */
#define THREADS 3
#define BLOCKS 3
#define ROUNDS 2
#define NONE 7

byte top = 0;
byte link[BLOCKS];
bool held[BLOCKS]; /* by a thread */
byte done = 0;
bool taking = false; /* somebody has the lock */
byte seen = 0, walk;

inline hold(block) {
  d_step { assert(!held[block]); held[block] = true }
}

inline push(block) {
  d_step { held[block] = false };
#ifdef PLAIN_PUSH
  old = top;
  link[block] = old;
  top = block
#else
  do
  :: true ->
    old = top;
#ifndef LINK_LATE
    link[block] = old;
#endif
    if
    :: d_step { top == old -> top = block }; break
    :: else -> skip
    fi
  od;
#ifdef LINK_LATE
  link[block] = old
#endif
#endif
}

proctype User() {
  byte old, mine, last, next, round = 0;
  do
  :: round < ROUNDS ->
#ifndef NO_LOCK
    d_step { !taking -> taking = true };
#endif
    do
    :: true ->
      mine = top;
      if
      :: mine == NONE -> break
      :: else -> skip
      fi;
      last = mine;
      next = link[last];
      if
      :: next != NONE -> last = next; next = link[last]
      :: else -> skip
      fi;
#ifdef PLAIN_POP
      top = next; link[last] = NONE; break
#else
      if
      :: d_step { top == mine -> top = next }; link[last] = NONE; break
      :: else -> skip
      fi
#endif
    od;
    taking = false;
    /* This list is its own. */
    old = mine;
    do
    :: old != NONE -> hold(old); old = link[old]
    :: else -> break
    od;
    do
    :: mine != NONE -> next = link[mine]; push(mine); mine = next
    :: else -> break
    od;
    round++
  :: else -> break
  od;
  done++
}

init {
  atomic {
    link[0] = 1; link[1] = 2; link[2] = NONE;
    run User(); run User(); run User()
  }
  done == THREADS;
  /* held: nothing; each block once in the list. */
  walk = top;
  do
  :: walk != NONE -> hold(walk); seen++; assert(seen <= BLOCKS && held[walk]); walk = link[walk]
  :: else -> break
  od;
  assert(seen == BLOCKS && held[0])
}
