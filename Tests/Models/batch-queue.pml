/*
 * The queue of batches: Sources/MillraceCore/Queues/BatchQueue.swift. Nodes of two jobs with a cursor, recycled through a free list, each life with a
 * generation of its own; two producers, one with a chain of two nodes, two consumers that take one or two jobs at a time.
 *
 * Holds: every job once, each producer's in its order, no job from a node in another life.
 * Mistakes that must be found:
 * -DNO_GENERATION  the cursor carries no generation
 * -DNO_CURSOR_CAS  a consumer moves the cursor without looking whether it is as before
 */
#define NODES 4
#define NONE 7
#define REF(g, i) (((g) << 3) | (i))
#define INDEX(r) ((r) & 7)
#define GEN(r) ((r) >> 3)
#define CURSOR(g, b, e) (((g) << 4) | ((b) << 2) | (e))

byte head, tail;                /* references */
byte next[NODES];               /* reference, or generation with NONE */
byte cursor[NODES];             /* generation, begin, end */
byte jobs[8];                   /* node * 2 + i */
bit free[NODES];
bit got[6];
byte last;                      /* producer A's last job that was taken: 1, 2, 3 in order */
byte total;

inline allocate(n) {
  atomic {
    if
    :: free[0] -> n = 0 :: free[1] -> n = 1 :: free[2] -> n = 2 :: free[3] -> n = 3
    fi;
    free[n] = 0
  }
}
/* renew: the node is private */
inline renew(n, r) {
  atomic { r = (GEN(next_generation[n]) + 1); next_generation[n] = REF(r, 0); r = REF(r, n) };
#ifdef NO_GENERATION
  cursor[n] = CURSOR(0, 0, 0);
#else
  cursor[n] = CURSOR(GEN(r), 0, 0);
#endif
  next[n] = REF(GEN(r), NONE)
}
byte next_generation[NODES];    /* the high half of the cursor, kept apart so that the mistake can leave it out there */

inline fill(n, r, at, job) {
  jobs[n * 2 + at] = job;
#ifdef NO_GENERATION
  cursor[n] = CURSOR(0, 0, at + 1)
#else
  cursor[n] = CURSOR(GEN(r), 0, at + 1)
#endif
}

inline append(first, final) {
  do
  :: end = tail;
    successor = next[INDEX(end)];
    if
    :: INDEX(successor) == NONE ->
      if :: GEN(successor) == GEN(end) -> atomic { if :: next[INDEX(end)] == successor -> next[INDEX(end)] = first; ok = 1 :: else -> ok = 0 fi } :: else -> ok = 0 fi;
      if :: ok -> atomic { if :: tail == end -> tail = final :: else fi }; break :: else fi
    :: else -> if :: tail == end -> atomic { if :: tail == end -> tail = successor :: else fi } :: else fi
    fi
  od;
  atomic { end = 0; successor = 0; ok = 0 }
}

active proctype producerA() {
  byte n, m, r, q, end, successor; bit ok;
  (head != 0);
  allocate(n); renew(n, r); fill(n, r, 0, 1); fill(n, r, 1, 2);
  allocate(m); renew(m, q); fill(m, q, 0, 3);
  next[n] = q;
  append(r, q)
}

active proctype producerB() {
  byte n, r, end, successor; bit ok;
  (head != 0);
  allocate(n); renew(n, r); fill(n, r, 0, 4);
  append(r, r);
  allocate(n); renew(n, r); fill(n, r, 0, 5);
  append(r, r)
}

active [2] proctype consumer() {
  byte dummy, successor, word, n, i, b, limit, mine[2]; bit ok;
  (head != 0);
  do
  :: total == 5 -> break
  :: total < 5 ->
    if :: limit = 1 :: limit = 2 fi;
    dummy = head;
    successor = next[INDEX(dummy)];
    if :: head != dummy -> goto again :: else fi;
    if :: INDEX(successor) == NONE -> goto again :: else fi;
    if :: tail == dummy -> atomic { if :: tail == dummy -> tail = successor :: else fi } :: else fi;
    word = cursor[INDEX(successor)];
#ifndef NO_GENERATION
    if :: (word >> 4) != GEN(successor) -> goto again :: else fi;
#endif
    b = (word >> 2) & 3; n = (word & 3) - b;
    if
    :: n == 0 -> atomic { if :: head == dummy -> head = successor; free[INDEX(dummy)] = 1 :: else fi }; goto again
    :: else
    fi;
    if :: n > limit -> n = limit :: else fi;
    i = 0;
    do :: i < n -> mine[i] = jobs[INDEX(successor) * 2 + b + i]; i++ :: else -> break od;
    atomic {
#ifdef NO_CURSOR_CAS
      ok = 1; cursor[INDEX(successor)] = word + (n << 2);
#else
      if :: cursor[INDEX(successor)] == word -> cursor[INDEX(successor)] = word + (n << 2); ok = 1 :: else -> ok = 0 fi;
#endif
      if
      :: ok ->
        i = 0;
        do
        :: i < n ->
          assert(mine[i] > 0 && !got[mine[i]]);
          got[mine[i]] = 1; total++;
          if :: mine[i] < 4 -> assert(mine[i] == last + 1); last = mine[i] :: else fi;
          i++
        :: else -> break
        od
      :: else
      fi
    };
    if :: ok && b + n == (word & 3) -> atomic { if :: head == dummy -> head = successor; free[INDEX(dummy)] = 1 :: else fi } :: else fi;
again: atomic { dummy = 0; successor = 0; word = 0; n = 0; i = 0; b = 0; limit = 0; ok = 0; mine[0] = 0; mine[1] = 0 }
  od
}

/* prepare: node 0 of generation 1 is the first dummy. */
init {
  atomic {
    free[1] = 1; free[2] = 1; free[3] = 1;
    next_generation[0] = REF(1, 0);
#ifndef NO_GENERATION
    cursor[0] = CURSOR(1, 0, 0);
#endif
    next[0] = REF(1, NONE); tail = REF(1, 0); head = REF(1, 0)
  }
}
