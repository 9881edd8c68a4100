/*
 * Who sleeps, who searches, who must be woken: Sources/MillraceCore/Workers/Parking.swift and the loop around it in Runtime.work. Both forms are explored:
 * the sleeper's membarrier over the publishers' store buffers, and fences on both sides. A handler runs until no job is ready, so that a job that
 * waits beside a sleeping worker stays there. Producer 0 may stop for good at any step.
 *
 * A job that is still in a store buffer was pushed beside an older one (WorkerCache.push: into an empty cache, and into a queue, it goes by a locked
 * instruction), so that its level's bit is set: the last searcher's look at the bitmap sees it, a look into the cache does not.
 *
 * Mistakes that must be found:
 * -DNO_BARRIER  the sleeper does not put the barrier
 * -DNO_SECOND_LOOK  the sleeper does not look again after its bit is set
 * -DNO_HANDOVER  the last searcher that finds work does not wake the next
 * -DNO_FINISH  nobody finishes the wake of a waker that was stopped
 * -DTRUST_WAKE  a worker that wakes does not look at its bit
 */
#define WORKERS 2
#define PRODUCERS 2
#define AWAKE 0
#define WOKEN 1
#define ASLEEP 2
/* Before the next step of a producer that may be stopped. */
#define STOP if :: canStop -> goto stopped :: true fi

bit fenced;
bit started;
byte stored[4];           /* a job in the producer's store buffer */
bit job[PRODUCERS];       /* that all can see, each its producer's */
#define ready (job[0] + job[1])
#define TAKE atomic { if :: job[0] -> job[0] = 0; got = 1 :: job[1] -> job[1] = 0; got = 1 :: else -> got = 0 fi }
byte mask, search;        /* one word of shared memory, read and changed in one step */
byte wakers;
byte futex[WORKERS];
bit inKernel[WORKERS];
byte left[PRODUCERS];     /* 2: stopped */

active proctype memory() {
end:
  do
  :: atomic { stored[0] > 0 -> stored[0]--; job[0] = 1 }
  :: atomic { stored[1] > 0 -> stored[1]--; job[1] = 1 }
  od
}

/* wake(_:): the exchange, then the system call. */
inline wake(i) {
  futex[i] = WOKEN;
  STOP;
  inKernel[i] = 0
}

/* finishWakes() */
inline finishWakes() {
  k = 0;
  do
  :: k < WORKERS ->
    if :: futex[k] != AWAKE && !(mask & (1 << k)) -> wake(k) :: else fi;
    k++
  :: else -> break
  od;
  k = 0
}

/* notify(), wakeOne(). `mine`: the caller's store is out. */
inline notify() {
  if :: fenced -> stored[p] == 0 :: else fi;
  atomic { m = mask; s = search };
  STOP;
  if
  :: m == 0 && s == 0
  :: s > 0 && wakers == 0
  :: else ->
    do
    :: atomic { m = mask; s = search };
      STOP;
      if
      :: s > 0 ->
#ifndef NO_FINISH
        if :: wakers > 0 -> finishWakes() :: else fi;
#endif
        break
      :: s == 0 && m == 0 -> break
      :: else ->
        v = (m & 1 -> 0 : 1);
        wakers++;
        STOP;
        atomic { if :: mask == m && search == s -> mask = mask & ~(1 << v); search++; ok = 1 :: else -> ok = 0 fi };
        STOP;
        if :: ok -> wake(v) :: else fi;
        STOP;
        wakers--;
        if :: ok -> break :: else fi
      fi
    od
  fi;
  atomic { m = 0; s = 0; v = 0; ok = 0 }
}

proctype producer(byte p) {
  byte m, s, v, k; bit ok, canStop;
  started;
  canStop = (p == 0);
  stored[p] = 1;
  STOP;
  notify();
  goto done;
stopped: left[p] = 2;
done: skip
}

/* clearBit(_:) */
inline clearBit() { atomic { if :: mask & (1 << i) -> mask = mask & ~(1 << i); search++ :: else fi } }
/* foundWork() and the hand-over */
inline foundWork() {
  atomic { assert(search > 0); search--; last = (search == 0) };
#ifndef NO_HANDOVER
  if :: last && ready + stored[0] + stored[1] > 0 -> notify() :: else fi
#else
  last = 0
#endif
}
/* A job whose producer was stopped before it told anybody may wait. */
inline handle() { (ready == 0 || job[1] == 0 && left[0] == 2); got = 0 }

proctype worker(byte i) {
  byte m, s, v, k, p = 3; bit ok, canStop, searching, got, last;
  started;
  do
  :: TAKE;     /* begin() */
    if
    :: got ->
      if :: searching -> searching = 0; foundWork() :: else fi;
      handle()
    :: else ->
      if                                                                      /* `adaptive` or `park` */
      :: !searching -> search++; searching = 1; goto look
      :: goto sleepy
      fi
    fi;
    goto again;
look:
    atomic { if :: ready > 0 -> goto again :: else fi };
sleepy:
    futex[i] = ASLEEP;                                                        /* prepareToSleep */
    atomic { mask = mask | (1 << i); search = search - searching; searching = 0 };
#ifndef NO_BARRIER
    if :: fenced :: !fenced -> stored[0] == 0 && stored[1] == 0 fi;           /* membarrier: the buffers are empty at some moment */
#endif
#ifndef NO_SECOND_LOOK
    TAKE;
    if
    :: got ->
      clearBit();                                                             /* cancelSleep */
      futex[i] = AWAKE;
      foundWork();
      handle();
      goto again
    :: else
    fi;
#endif
    do                                                                        /* sleep */
    :: atomic { futex[i] == ASLEEP -> inKernel[i] = 1 };
end_asleep: inKernel[i] == 0
    :: atomic { futex[i] != ASLEEP -> break }
    od;
    futex[i] = AWAKE;
#ifndef TRUST_WAKE
    clearBit();
#endif
    searching = 1;
again: skip
  od;
stopped: skip
}

/* Nothing moves any more: no job waits, but for one whose producer was stopped before it had told anybody. */
active proctype monitor() {
  started;
  timeout ->
  assert(job[1] == 0 && (job[0] == 0 || left[0] == 2))
}

init { atomic { if :: fenced = 0 :: fenced = 1 fi; run producer(0); run producer(1); run worker(0); run worker(1); started = 1 } }
