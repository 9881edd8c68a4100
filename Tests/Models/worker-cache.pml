/*
 * The stealable cache of one worker: Sources/MillraceCore/Queues/WorkerCache.swift. The owner pushes, and pops the oldest or the youngest; thieves ask,
 * accept, or help themselves after a barrier; a looker clears the level's bit and looks again. The owner's plain stores to `head`, `tail` and `claim`
 * pass through its store buffer (TSO); a step here is one access to a word that others see.
 *
 * Holds: every job is got once, none is lost, and none is left behind a cleared bit by an owner that has gone into a long handler.
 * Bounded: 3 jobs, 2 slots, popYoungest once, one thief that tries twice, one look, three stores in the buffer. 6.8e6 states.
 * Configurations that must hold:
 * +DFENCED  the system has no barrier: the owner's fences instead. 4.5e6 states.
 * +DTWO_THIEVES  two thieves that try once, no looker. 4.3e6 states.
 * +DTWO_THIEVES +DFENCED  the same with fences. 2.9e6 states.
 * +DMANY  4 jobs, 4 slots: two published together, offers of two, and taken back; one try, no popYoungest. 8.0e6 states.
 * +DMANY +DFENCED  the same with fences. 4.4e6 states.
 * Mistakes that must be found:
 * -DNO_BARRIER [got]  the thief does without the barrier
 * -DOFFER_FIRST [got]  the offer is out before the new head
 * -DPUSH_BLIND [level]  a push does not look at the claim
 * -DSETTLED_LATE [level]  a push settles what was taken by a plain store, which may come after its look at the bit
 * -DTAIL_FIRST [level]  isEmpty reads tail before head
 * -DNO_RECHECK [level]  isEmpty does not look at the claim again
 * -DYOUNGEST_BLIND [got]  popYoungest does not look at the claim
 * -DYOUNGEST_KEPT [got]  popYoungest keeps a job that was taken with the others
 * -DYOUNGEST_LEFT [t-h]  popYoungest lets go of a job that was not taken with the others
 * -DNO_FLOOR [got]  pushes do not spare the slots of a standing offer
 * -DUNTOLD -DMANY [level]  jobs of an offer that is taken back are not announced
 */
#ifdef MANY
#define N 4      /* jobs 1 ... N */
#define CAP 4    /* slots; positions are taken modulo 8 in claims */
#define YOUNGEST 0
#else
#define N 3
#define CAP 2
#define YOUNGEST 1
#endif
#ifdef TWO_THIEVES
#define THIEVES 2
#define LOOKERS 0
#else
#define THIEVES 1
#define LOOKERS 1
#endif
#if defined(MANY) || defined(TWO_THIEVES)
#define TRIES 1
#else
#define TRIES 2
#endif
#define HALF(n) (((n) + 1) / 2)

#define REQUEST 1
#define OFFER 2
#define TAKEN 3
#define OFFERING 4
#define CLAIM(kind, first, on, seq) ((kind) | ((on) << 3) | (((first) & 7) << 6) | ((seq) << 9))
#define KIND(w) ((w) & 7)
#define COUNT(w) (((w) >> 3) & 7)
#define FIRST(w) (((w) >> 6) & 7)
#define SEQ(w) ((w) >> 9)

byte head, tail;         /* as others see them */
short claim;
byte slot[CAP];          /* seen at once: a later store of the owner, to `tail` or `claim`, tells of them */
bit got[N + 1];
bit level = 1;
byte running = 1 + THIEVES + LOOKERS;

/* The owner's stores on their way: 0 head, 1 tail, 2 claim, whose value is `late`. */
chan buffer = [3] of { byte, byte };
short late = -1;
#define SEEN (late < 0 -> claim : late)
#define FENCE (len(buffer) == 0)
#ifdef FENCED
#define BARRIER true
#define EXCHANGES true
#else
#define BARRIER FENCE
#define EXCHANGES false
#endif

active proctype memory() {
  byte which, value;
end:
  do
  :: d_step {
      buffer?which, value ->
      if :: which == 0 -> head = value :: which == 1 -> tail = value :: which == 2 -> claim = late; late = -1 fi;
      which = 0; value = 0
    }
  od
}

inline have(j) { assert(j > 0 && !got[j]); got[j] = 1 }
/* The owner's stores; its locked instructions empty the buffer first. */
inline storeHead() { atomic { nfull(buffer) -> buffer!0, h } }
inline storeTail() { atomic { nfull(buffer) -> buffer!1, t } }
inline storeClaim(x) { atomic { nfull(buffer) -> buffer!2, 0; late = (x) } }

/* offer(_:from:_:), n of the jobs from h on. */
inline offer(n) {
#ifdef OFFER_FIRST
  atomic { FENCE -> floor = h; c = (n); if :: claim == w -> claim = CLAIM(OFFER, h, c, SEQ(w)); ok = 1; h = h + c :: else -> c = 0 fi };
  if :: ok -> storeHead() :: else fi;
#else
  atomic { FENCE -> floor = h; c = (n); if :: claim == w -> claim = CLAIM(OFFERING, h, c, SEQ(w)); ok = 1; h = h + c :: else -> c = 0 fi };
  if :: ok -> storeHead(); storeClaim(CLAIM(OFFER, floor, c, SEQ(w))) :: else fi;
#endif
  c = 0
}

/* announce(priority:) */
inline announce() { if :: level :: else -> atomic { FENCE -> level = 1 } fi }

/* push(_:fenced:), and publish(_:fenced:) of `count` jobs that were put; `tell` is the answer. */
inline push(job, count) {
  if :: count == 2 -> slot[(t + 1) % CAP] = job + 1 :: else fi;
  if
  :: atomic { EXCHANGES || t == h -> slot[t % CAP] = job; t = t + count }; atomic { FENCE -> tail = t }
  :: atomic { !EXCHANGES && t != h && nfull(buffer) -> slot[t % CAP] = job; t = t + count; buffer!1, t }
  fi;
#ifdef PUSH_BLIND
  tell = (t - count == h);
#else
  atomic { w = SEEN; if :: w == 0 || KIND(w) == OFFER -> tell = (t - count == h) :: else -> tell = 1 fi };
  if
  :: w == 0 || KIND(w) == OFFER
  :: else ->                                                        /* answerAtPush */
    FENCE;                                                          /* tail.exchange */
    do
    :: w = SEEN;
      if
      :: KIND(w) == REQUEST -> offer((t + 1 - h) / 2); if :: ok -> break :: else fi
      :: KIND(w) == TAKEN ->
        h = h + COUNT(w); storeHead();
#ifdef SETTLED_LATE
        storeClaim(0);
#else
        atomic { FENCE -> claim = 0 };
#endif
        break
      :: else -> break
      fi
    od
  fi;
#endif
  atomic { w = 0; ok = 0 }
}
inline pushAndTell(count) { push(next, count); if :: tell -> announce() :: else fi; tell = 0; next = next + count }

active proctype owner() {
  byte h, t, floor, next = 1, j, c, first, n, i, deep;
  short w;
  bit ok, tell;
  do
#ifdef NO_FLOOR
  :: atomic { next <= N && CAP - (t - h) > 0 -> floor = h }; pushAndTell(1)
#else
  :: atomic { next <= N && CAP - (t - (KIND(SEEN) == OFFER -> floor : h)) > 0 -> if :: KIND(SEEN) != OFFER -> floor = h :: else fi }; pushAndTell(1)
#endif
#ifdef MANY
  :: atomic { next < N && CAP - (t - (KIND(SEEN) == OFFER -> floor : h)) > 1 -> if :: KIND(SEEN) != OFFER -> floor = h :: else fi }; pushAndTell(2)
#endif
  :: atomic { h == t && SEEN != 0 -> w = SEEN };                    /* pop: takeBack */
    if
    :: KIND(w) == OFFER ->
      atomic {
        FENCE ->
        if :: claim == w -> claim = 0; first = floor; n = COUNT(w); have(slot[first % CAP]); i = 1 :: else fi
      };
      if
      :: n > 0 ->
        do :: i < n -> j = slot[(first + i) % CAP]; push(j, 1); tell = 0; i++ :: else -> break od;
#ifndef UNTOLD
        if :: n > 1 -> announce() :: else fi
#endif
      :: else
      fi
    :: KIND(w) == REQUEST -> atomic { FENCE -> if :: claim == w -> claim = 0 :: else fi }
    :: else
    fi;
    atomic { w = 0; j = 0; first = 0; n = 0; i = 0 }
  :: atomic { h != t && (EXCHANGES && FENCE || !EXCHANGES && nfull(buffer)) -> h++; if :: EXCHANGES -> head = h :: else -> buffer!0, h fi }; /* pop */
    atomic { w = SEEN; j = slot[(h - 1) % CAP] };
    do
    :: w == 0 || KIND(w) == OFFER -> have(j); break
    :: KIND(w) == REQUEST ->                                        /* answer(claimed:_:) */
      if :: h == t -> atomic { FENCE -> if :: claim == w -> claim = 0; ok = 1 :: else fi } :: else -> offer(HALF(t - h)) fi;
      if :: ok -> have(j); break :: else -> w = SEEN fi
    :: KIND(w) == TAKEN ->
      if
      :: FIRST(w) == ((h - 1) & 7) -> h = h - 1 + COUNT(w)          /* the job just popped was taken as well */
      :: else -> have(j); h = h + COUNT(w)
      fi;
      storeHead(); storeClaim(0);
      break
    od;
    atomic { w = 0; j = 0; ok = 0 }
  :: atomic { h != t && deep < YOUNGEST && (EXCHANGES && FENCE || !EXCHANGES && nfull(buffer)) ->
      deep++; t--; if :: EXCHANGES -> tail = t :: else -> buffer!1, t fi };                         /* popYoungest */
#ifdef YOUNGEST_BLIND
    j = slot[t % CAP];
#else
    atomic { w = SEEN; j = slot[t % CAP] };
#endif
    do
    :: w == 0 || KIND(w) == OFFER -> have(j); break
    :: KIND(w) == REQUEST ->                                        /* answer(youngest:_:) */
      if :: h == t -> atomic { FENCE -> if :: claim == w -> claim = 0; ok = 1 :: else fi } :: else -> offer(HALF(t - h)) fi;
      if :: ok -> have(j); break :: else -> w = SEEN fi
    :: KIND(w) == TAKEN ->
      h = h + COUNT(w);
#ifdef YOUNGEST_KEPT
      have(j);
#else
#ifndef YOUNGEST_LEFT
      if :: h == t -> have(j) :: else fi;
#endif
#endif
      t = h; storeTail(); storeHead(); storeClaim(0);
      break
    od;
    atomic { w = 0; j = 0; ok = 0 }
  :: next > 1 -> break                                              /* a long handler, or no more */
  od;
  atomic { FENCE -> running-- };
  /* Everybody else has ended: no job is lost, and what is still here is known of. */
  atomic {
    running == 0 ->
    i = 1;
    do :: i < next -> n = n + (1 - got[i]); i++ :: else -> break od;
    assert(n == t - h + (KIND(claim) == OFFER -> COUNT(claim) : 0) - (KIND(claim) == TAKEN -> COUNT(claim) : 0));
    assert(n == 0 || level)
  }
}

proctype thief(byte me) {
  byte h, n, i, tries;
  byte mine[CAP];
  short w, request;
  do
  :: tries == TRIES -> break
  :: else ->
    /* It asks whether `isEmpty` says so or not: that may change at any moment. */
    atomic { tries++; w = claim; if :: KIND(w) == OFFER -> goto accept :: w == 0 :: else -> goto again fi };
    atomic { request = CLAIM(REQUEST, 0, 0, me * TRIES + tries - 1); if :: claim == 0 -> claim = request :: else -> goto again fi };
    if
    :: atomic { claim != request -> w = claim; goto accept }
    :: true                                                         /* out of patience */
    fi;
#ifndef NO_BARRIER
    BARRIER;                                                        /* membarrier: the owner's buffer is empty at some moment */
#endif
    h = head;
    atomic { n = tail - h; if :: n == 0 || n > CAP -> goto refuse :: else fi };
copy:
    atomic { mine[i] = slot[(h + i) % CAP]; i++; if :: i < n -> goto copy :: else fi };
    atomic { if :: claim == request -> claim = CLAIM(TAKEN, h, n, SEQ(request)); goto taken :: else -> w = claim fi };
accept:
    atomic { if :: KIND(w) == OFFER -> n = COUNT(w); h = FIRST(w); i = 0 :: else -> goto again fi };
copyOffer:
    atomic { mine[i] = slot[(h + i) % CAP]; i++; if :: i < n -> goto copyOffer :: else fi };
    atomic { if :: claim == w -> claim = 0; goto taken :: else -> goto again fi };
refuse:
    atomic { if :: claim == request -> claim = 0 :: else fi; goto again };
taken:
    i = 0; do :: i < n -> have(mine[i]); i++ :: else -> break od;
again:
    atomic { w = 0; request = 0; h = 0; n = 0; i = 0; do :: i < CAP -> mine[i] = 0; i++ :: else -> break od; i = 0 }
  od;
  atomic { tries = 0; running-- }
}

/* A worker that found nothing: clear the bit, look again. ReadySet.retire with WorkerCache.isEmpty. */
#if LOOKERS
active proctype looker() {
  byte h, t; short w;
  level = 0;
retry:
  atomic { w = claim; if :: KIND(w) == OFFER || KIND(w) == OFFERING -> goto found :: else fi };
#ifdef TAIL_FIRST
  t = tail;
  atomic { h = head; if :: h == t || KIND(w) == TAKEN :: else -> goto found fi; h = 0; t = 0 };
#else
  h = head;
  atomic { t = tail; if :: h == t || KIND(w) == TAKEN :: else -> goto found fi; h = 0; t = 0 };
#endif
#ifndef NO_RECHECK
  atomic { if :: claim == w -> goto nothing :: else -> w = 0; goto retry fi };
#else
  goto nothing;
#endif
found:
  level = 1;
nothing:
  atomic { w = 0; h = 0; t = 0; running-- }
}
#endif

init { atomic { byte k; for (k : 1 .. THIEVES) { run thief(k - 1) } } }
