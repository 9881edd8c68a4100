/*
 * Who sleeps, who searches, who must be woken: Sources/MillraceCore/Workers/Parking.swift and the loop around it in Runtime.work, with the sleeper's
 * membarrier over the publishers' store buffers. A handler may run for ever, and producer 0 may stop for good at any step.
 *
 * A job that is still in a store buffer was pushed beside an older one (WorkerCache.push: into an empty cache, and into a queue, it goes by a locked
 * instruction), so that its level's bit is set: the last searcher's look at the bitmap sees it, a look into the cache does not.
 *
 * Holds: at no moment does a job wait beside a sleeping worker when the others are at rest: asleep, in a handler, ended or stopped.
 * Bounded: 2 workers; 2 producers of one job, of which the second's passes through its store buffer. 9.9e6 states.
 * Configurations that must hold:
 * +DFENCED  fences on both sides instead of the membarrier. 7.2e6 states.
 * Mistakes that must be found:
 * -DNO_BARRIER [!(waits)]  the sleeper does not put the barrier
 * -DNO_SECOND_LOOK [!(waits)]  the sleeper does not look again after its bit is set
 * -DNO_HANDOVER [!(waits)]  the last searcher that finds work does not wake the next
 * -DLAST_ONLY [!(waits)]  a searcher that finds work takes a sleeper whose waker was stopped for another searcher
 * -DNO_FINISH [!(waits)]  nobody finishes the wake of a waker that was stopped
 * -DTRUST_WAKE [search>0]  a worker that wakes does not look at its bit
 */
#define WORKERS 2
#define PRODUCERS 2
#define AWAKE 0
#define WOKEN 1
#define ASLEEP 2
#define SEARCHED 255

bit stored;               /* producer 1's job is in its store buffer */
bit job[PRODUCERS];       /* that all can see, each its producer's */
bit told[PRODUCERS];      /* the producer has ended */
#define READY (job[0] || job[1])
#define OUT (!stored)
byte mask, search;        /* one word of shared memory, read and changed in one step */
byte wakers;
byte futex[WORKERS];
bit inKernel[WORKERS];
bit busy[WORKERS];        /* in a handler */

active proctype memory() {
end:
  do
  :: d_step { stored -> stored = 0; job[1] = 1 }
  od
}

/* wake(_:): the exchange, then the system call. */
inline wake(i) { futex[i] = WOKEN; inKernel[i] = 0 }

/* finishWakes() */
inline finishWakes() {
  do
  :: atomic { k < WORKERS && futex[k] == AWAKE -> k++ }
  :: k < WORKERS && futex[k] != AWAKE -> if :: atomic { mask & (1 << k) -> k++ } :: else -> wake(k); k++ fi
  :: k == WORKERS -> break
  od;
  k = 0
}

/* notify(), wakeOne(): the first look of notify() is for speed only. `out`: the caller's store is out. */
inline notify(out) {
#ifdef FENCED
  out;
#endif
  do
  :: atomic { m = mask; if :: search > 0 -> m = SEARCHED :: else fi };
    if
    :: m == SEARCHED ->
#ifndef NO_FINISH
      if :: wakers > 0 -> finishWakes() :: else fi;
#endif
      break
    :: m == 0 -> break
    :: m > 0 && m < SEARCHED ->
      atomic { v = (m & 1 -> 0 : 1); wakers++ };
      atomic { if :: mask == m && search == 0 -> mask = mask & ~(1 << v); search++; ok = 1 :: else fi };
      if :: ok -> wake(v) :: else fi;
      atomic { wakers--; v = 0; if :: ok -> ok = 0; break :: else fi }
    fi
  od;
  m = 0
}

/* The process's number among its like: `memory` comes first, then the producers. */
#define P (_pid - 1)
#define I (_pid - 1 - PRODUCERS)

active [PRODUCERS] proctype producer() {
  byte m, v, k; bit ok;
  if :: P == 0 -> job[0] = 1 :: else -> stored = 1 fi;
  notify(P == 0 || OUT);
  told[P] = 1
}

/* begin() */
#define TAKE(found, none) if :: job[0] -> job[0] = 0; found :: !job[0] && job[1] -> job[1] = 0; found :: else -> none fi
/* clearBit(_:) */
inline clearBit() { d_step { if :: mask & (1 << I) -> mask = mask & ~(1 << I); search++ :: else fi } }
/* foundWork(), and the hand-over: by the last searcher, or if the others may be one whose waker was stopped before the wake. */
#ifdef LAST_ONLY
#define NOBODY last
#else
#define NOBODY (last || wakers > 0)
#endif
inline foundWork() {
  atomic { assert(search > 0); search--; searching = 0; last = (search == 0) };
#ifndef NO_HANDOVER
  if
  :: NOBODY -> if :: READY || !OUT -> notify(true) :: else fi
  :: else
  fi;
#endif
  last = 0
}

active [WORKERS] proctype worker() {
  byte m, v, k; bit ok, searching, last;
again:
  atomic { TAKE(goto found, goto nothing) };
found:
  if :: searching -> foundWork() :: else fi;
  busy[I] = 1;
  atomic { busy[I] = 0; goto again };
nothing:
  if                                                                          /* `adaptive` or `park` */
  :: atomic { !searching -> search++; searching = 1 }; atomic { if :: READY -> goto again :: true fi } /* true: nothing, or restraint */
  :: true
  fi;
  futex[I] = ASLEEP;                                                          /* prepareToSleep */
  atomic { mask = mask | (1 << I); search = search - searching; searching = 0 };
#ifndef NO_BARRIER
#ifndef FENCED
  OUT;                                                                        /* membarrier: the buffers are empty at some moment */
#endif
#endif
#ifndef NO_SECOND_LOOK
  atomic { TAKE(goto cancel, skip) };
#endif
  do                                                                          /* sleep */
  :: atomic { futex[I] == ASLEEP -> inKernel[I] = 1 };
end_asleep:
    !inKernel[I]
  :: futex[I] != ASLEEP -> break
  od;
  futex[I] = AWAKE;
#ifndef TRUST_WAKE
  clearBit();
#endif
  searching = 1;
  goto again;
#ifndef NO_SECOND_LOOK
cancel:
  clearBit();                                                                 /* cancelSleep */
  atomic { futex[I] = AWAKE; searching = 1; goto found }
#endif
}

/* A job whose producer 0 has not told anybody yet may wait. */
#define REST(i) (inKernel[i] || busy[i])
bit waits;
active proctype monitor() {
end:
  d_step { REST(0) && REST(1) && OUT && told[1] && (job[1] || job[0] && told[0]) -> waits = 1; assert(!waits) }
}
