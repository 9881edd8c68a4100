/*
 * The queue of batches: Sources/MillraceCore/Queues/BatchQueue.swift. Nodes of two jobs with a cursor, recycled through a free list, each life with a
 * generation of its own; two producers, one with a chain of two nodes, two consumers that take one or two jobs at a time.
 *
 * Holds: every job once and none lost, each producer's in its order, no job from a node in another life.
 * Bounded: 5 jobs, 4 nodes, of which the free one of the lowest index is used next. 4.6e6 states.
 * Mistakes that must be found:
 * -DNO_GENERATION [got]  the cursor carries no generation
 * -DNO_CURSOR_CAS [got]  a consumer moves the cursor without looking whether it is as before
 * -DHEAD_EARLY [last]  a consumer leaves a node behind whose last job it has not taken
 */
#define NODES 4
#define JOBS 5
#define CONSUMERS 2
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
bit got[JOBS + 1];
byte last;                      /* producer A's last job that was taken: 1, 2, 3 in order */
byte total;

/* The free node of the lowest index: a node is used again as soon as it can be. */
inline allocate(n) {
  atomic {
    if
    :: free[0] -> n = 0
    :: !free[0] && free[1] -> n = 1
    :: !free[0] && !free[1] && free[2] -> n = 2
    :: !free[0] && !free[1] && !free[2] && free[3] -> n = 3
    fi;
    free[n] = 0
  }
}
/* renew: the node is private, but for those who still look at its last life. */
inline renew(n, r) {
  atomic {
    life[n]++; r = REF(life[n], n);
#ifdef NO_GENERATION
    cursor[n] = CURSOR(0, 0, 0)
#else
    cursor[n] = CURSOR(life[n], 0, 0)
#endif
  };
  next[n] = REF(life[n], NONE)
}
byte life[NODES];               /* the high half of the cursor, kept apart so that the mistake can leave it out there */

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
    :: INDEX(successor) == NONE && GEN(successor) == GEN(end) ->
      atomic { if :: next[INDEX(end)] == successor -> next[INDEX(end)] = first; ok = 1 :: else fi };
      if :: ok -> atomic { if :: tail == end -> tail = final :: else fi }; break :: else fi
    :: INDEX(successor) == NONE && GEN(successor) != GEN(end)
    :: INDEX(successor) != NONE -> atomic { if :: tail == end -> tail = successor :: else fi } /* its look at `tail` is for speed */
    fi;
    atomic { end = 0; successor = 0 }
  od;
  atomic { end = 0; successor = 0; ok = 0 }
}

active proctype producerA() {
  byte n, m, r, q, end, successor; bit ok;
  (head != 0);
  allocate(n); renew(n, r); fill(n, r, 0, 1); fill(n, r, 1, 2);
  allocate(m); renew(m, q); next[n] = q; fill(m, q, 0, 3);
  append(r, q);
  atomic { n = 0; m = 0; r = 0; q = 0 }
}

active proctype producerB() {
  byte n, r, end, successor; bit ok;
  (head != 0);
  allocate(n); renew(n, r); fill(n, r, 0, 4);
  append(r, r);
  allocate(n); renew(n, r); fill(n, r, 0, 5);
  append(r, r);
  atomic { n = 0; r = 0 }
}

active [CONSUMERS] proctype consumer() {
  byte dummy, successor, word, n, i, b, mine[2];
  (head != 0);
  do
  :: total == JOBS -> break
  :: total < JOBS ->
    dummy = head;
    successor = next[INDEX(dummy)];
    atomic { if :: head != dummy -> goto again :: head == dummy && INDEX(successor) == NONE -> goto none :: else fi };
    atomic { if :: tail == dummy -> tail = successor :: else fi };  /* its look at `tail` is for speed */
    atomic {
      word = cursor[INDEX(successor)];
#ifndef NO_GENERATION
      if :: (word >> 4) != GEN(successor) -> goto again :: else fi;
#endif
      b = (word >> 2) & 3; n = (word & 3) - b;
      if
      :: n == 0 -> goto used
      :: n == 1
      :: n == 2 /* limit 2 */
      :: n == 2 -> n = 1 /* limit 1 */
      fi
    };
copy:
    atomic { mine[i] = jobs[INDEX(successor) * 2 + b + i]; i++; if :: i < n -> goto copy :: else fi };
    atomic {
#ifndef NO_CURSOR_CAS
      if :: cursor[INDEX(successor)] != word -> goto again :: else fi;
#endif
      cursor[INDEX(successor)] = word + (n << 2);
      i = 0;
      do
      :: i < n ->
        assert(mine[i] > 0 && !got[mine[i]]);
        got[mine[i]] = 1; total++;
        if :: mine[i] < 4 -> assert(mine[i] == last + 1); last = mine[i] :: else fi;
        i++
      :: else -> break
      od;
#ifndef HEAD_EARLY
      if :: b + n != (word & 3) -> goto again :: else fi
#endif
    };
used:
    atomic { if :: head == dummy -> head = successor; free[INDEX(dummy)] = 1 :: else fi };
    goto again;
none:                                                              /* until there is something: who waits for a lost job waits for ever */
    total == JOBS || INDEX(next[INDEX(head)]) != NONE;
again:
    atomic { dummy = 0; successor = 0; word = 0; n = 0; i = 0; b = 0; mine[0] = 0; mine[1] = 0 }
  od
}

/* prepare: node 0 of generation 1 is the first dummy. */
init {
  atomic {
    free[1] = 1; free[2] = 1; free[3] = 1;
    life[0] = 1;
#ifndef NO_GENERATION
    cursor[0] = CURSOR(1, 0, 0);
#endif
    next[0] = REF(1, NONE); tail = REF(1, 0); head = REF(1, 0)
  }
}
