/*
 * The magazines of free blocks of a message pool, here a block each: lists are pushed by one CAS and taken whole by one exchange.
 * Mirrors MessagePool.give and MessagePool.takeAll; one step here is one atomic operation or one write of a link there.
 *
 * Each thread takes all, holds it for a while as its own, and gives the blocks back one at a time; it does so ROUNDS times.
 *
 * Holds: no block is held twice, and none is lost: when all are at rest every block is in the list once.
 * Bounded: 3 threads, 3 blocks, 2 rounds.
 * Mistakes that must be found:
 * -DPLAIN_PUSH [held]  the list is pushed by a load and a store
 * -DPOP_ONE [held]  one block is taken by a CAS to its link: a link that another may have changed
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
  byte old, mine, next, round = 0;
  do
  :: round < ROUNDS ->
#ifdef POP_ONE
    mine = top;
    if
    :: mine == NONE -> goto rest
    :: else -> skip
    fi;
    next = link[mine];
    if
    :: d_step { top == mine -> top = next }; link[mine] = NONE
    :: else -> goto rest
    fi;
#else
    d_step { mine = top; top = NONE };
#endif
    /* The whole list is its own. */
    old = mine;
    do
    :: old != NONE -> hold(old); old = link[old]
    :: else -> break
    od;
    do
    :: mine != NONE -> next = link[mine]; push(mine); mine = next
    :: else -> break
    od;
rest:
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
