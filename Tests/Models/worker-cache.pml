/*
 * The stealable cache of one worker: Sources/MillraceCore/Queues/WorkerCache.swift. The owner pushes, and pops the oldest or the youngest; two thieves ask, accept, or help
 * themselves after a barrier; a looker clears the level's bit and looks again. `head` and `tail` pass through the owner's store buffer (TSO); both
 * forms are explored: the thief's barrier, or the owner's fences. Every job is got once, and none is left behind a cleared bit by an owner that
 * has gone into a long handler.
 *
 * Mistakes that must be found:
 * -DNO_BARRIER  the thief does without the barrier
 * -DOFFER_FIRST  the offer is out before the new head
 * -DPUSH_BLIND  a push does not look at the claim
 * -DTAIL_FIRST  isEmpty reads tail before head
 * -DNO_RECHECK  isEmpty does not look at the claim again
 * -DYOUNGEST_BLIND  popYoungest does not look at the claim
 * -DYOUNGEST_KEPT  popYoungest keeps a job that was taken with the others
 * -DNO_FLOOR  pushes do not spare the slots of a standing offer
 */
#define N 3      /* jobs 1 ... N */
#define CAP 2    /* slots; positions are taken modulo 8 in claims */
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
byte slot[CAP];
bit got[N + 1];
bit level = 1;
bit fenced;
bit started;
byte running;            /* processes that have not ended */
chan buffer = [2] of { bit, byte };  /* the owner's stores on their way: 0 head, 1 tail */

#define FENCE (len(buffer) == 0)

active proctype memory() {
  bit which; byte value;
end:
  do
  :: atomic { buffer?which, value -> if :: which == 0 -> head = value :: else -> tail = value fi; which = 0; value = 0 }
  od
}

inline have(j) { assert(j > 0 && !got[j]); got[j] = 1 }
inline cas(expected, desired, ok) { atomic { if :: claim == expected -> claim = desired; ok = 1 :: else -> ok = 0 fi } }
/* A locked instruction of the owner empties its buffer first. */
inline ownerCas(expected, desired, ok) { atomic { FENCE -> if :: claim == expected -> claim = desired; ok = 1 :: else -> ok = 0 fi } }
inline setHead(x) { if :: fenced -> atomic { FENCE -> head = x } :: else -> buffer!0, x fi }

/* offer(_:from:_:) */
inline offer(from, n, ok) {
  atomic { offered = from; count = n; floor = offered }
#ifdef OFFER_FIRST
  ownerCas(w, CLAIM(OFFER, offered, count, SEQ(w)), ok);
  if :: ok -> h = offered + count; buffer!0, h :: else fi;
#else
  ownerCas(w, CLAIM(OFFERING, offered, count, SEQ(w)), ok);
  if
  :: ok ->
    h = offered + count; buffer!0, h;                                       /* head.storeReleasing */
    atomic { FENCE -> claim = CLAIM(OFFER, offered, count, SEQ(w)) }        /* claim.storeReleasing: stores leave the buffer in order */
  :: else
  fi;
#endif
  atomic { offered = 0; count = 0 }
}

/* push(_:fenced:) and what its caller does with the answer */
inline push(job) {
  slot[t % CAP] = job;
  tell = 0;
  if
  :: fenced || t == h -> atomic { FENCE -> tail = t + 1 }
  :: else -> buffer!1, (t + 1)
  fi;
  t = t + 1;
#ifdef PUSH_BLIND
  tell = (t - 1 == h);
#else
  w = claim;
  if
  :: w == 0 || KIND(w) == OFFER -> tell = (t - 1 == h)
  :: else ->
    tell = 1;
    FENCE;                                                          /* tail.exchange */
    do
    :: w = claim;
      if
      :: KIND(w) == REQUEST -> offer(h, (t + 1 - h) / 2, ok); if :: ok -> break :: else fi
      :: KIND(w) == TAKEN -> h = h + COUNT(w); buffer!0, h; atomic { FENCE -> claim = 0 }; break
      :: else -> break
      fi
    od
  fi;
#endif
  if :: tell && level == 0 -> atomic { FENCE -> level = 1 } :: else fi   /* announce */
}

active proctype owner() {
  byte deep;                 /* popYoungest so often at most */
  byte h, t, floor, low, next = 1, j, first, n, i, offered, count;
  short w;
  bit ok, tell;
  atomic { if :: fenced = 0 :: fenced = 1 fi; running = 4; started = 1 }
  do
  :: atomic { w != 0 || j != 0 || n != 0 || first != 0 || i != 0 || low != 0 -> w = 0; j = 0; n = 0; first = 0; i = 0; low = 0 }
  :: next <= N ->                                                   /* room, then push */
    low = floor;
#ifdef NO_FLOOR
    low = h; floor = h;
#else
    if :: low != h -> if :: KIND(claim) != OFFER -> low = h; floor = h :: else fi :: else fi;
#endif
    if :: CAP - (t - low) > 0 -> push(next); next++ :: else -> goto pop fi
  :: h != t || claim != 0 ->                                        /* isEmptyForOwner is false: pop */
pop:
    if
    :: h == t ->                                                    /* takeBack */
      w = claim;
      if
      :: KIND(w) == OFFER ->
        ownerCas(w, 0, ok);
        if
        :: ok ->
          first = floor; n = COUNT(w); j = slot[first % CAP];
          i = 1;
          do :: i < n -> low = slot[(first + i) % CAP]; push(low); i++ :: else -> break od;
          if :: n > 1 && level == 0 -> atomic { FENCE -> level = 1 } :: else fi;
          have(j)
        :: else
        fi
      :: KIND(w) == REQUEST -> ownerCas(w, 0, ok)
      :: else
      fi
    :: h != t && deep < 1 ->                                        /* popYoungest */
      deep++;
      if :: fenced -> atomic { FENCE -> tail = t - 1 } :: else -> buffer!1, (t - 1) fi;
      t = t - 1;
#ifdef YOUNGEST_BLIND
      w = 0;
#else
      w = claim;
#endif
      j = slot[t % CAP];
      do
      :: w == 0 || KIND(w) == OFFER || KIND(w) == OFFERING -> have(j); break
      :: KIND(w) == REQUEST ->                                      /* answer(youngest:_:) */
        if
        :: h == t -> ownerCas(w, 0, ok); if :: ok -> have(j); break :: else -> w = claim fi
        :: else -> offer(h, (t - h + 1) / 2, ok); if :: ok -> have(j); break :: else -> w = claim fi
        fi
      :: KIND(w) == TAKEN ->
        n = h + COUNT(w);
#ifdef YOUNGEST_KEPT
        have(j);
#else
        if :: n == t -> have(j) :: else fi;
#endif
        t = n; h = n; n = 0;
        buffer!1, t; buffer!0, h; atomic { FENCE -> claim = 0 };
        break
      od
    :: h != t ->
      setHead(h + 1);                                               /* head.storeReleasing(h + 1) */
      w = claim;                                                    /* claim.loadRelaxed */
      j = slot[h % CAP];
      h = h + 1;
      do
      :: w == 0 || KIND(w) == OFFER || KIND(w) == OFFERING -> have(j); break
      :: KIND(w) == REQUEST ->                                      /* answer(claimed:_:) */
        if
        :: h == t -> ownerCas(w, 0, ok); if :: ok -> have(j); break :: else -> w = claim fi
        :: else -> offer(h, (t - h + 1) / 2, ok); if :: ok -> have(j); break :: else -> w = claim fi
        fi
      :: KIND(w) == TAKEN ->
        if
        :: FIRST(w) == ((h - 1) & 7) -> h = h - 1 + COUNT(w)         /* the job just popped was taken as well */
        :: else -> have(j); h = h + COUNT(w)
        fi;
        buffer!0, h; atomic { FENCE -> claim = 0 };
        break
      od
    fi
  :: next > N && h == t && claim == 0 -> break
  :: next > 1 -> break                                              /* a long handler */
  od;
  j = 0; w = 0; first = 0; n = 0; i = 0; low = 0;
  atomic { FENCE -> running-- };
  /* Everybody else has ended: what is still here is known of. */
  running == 0;
  if
  :: level == 0 && KIND(claim) != REQUEST ->
    n = 0; i = 1;
    do :: i < next -> n = n + (1 - got[i]); i++ :: else -> break od;
    assert(n == 0)
  :: else
  fi
}

proctype thief(byte me) {
  byte h, t, n, i, first, tries;
  byte mine[CAP];
  short w, request;
  bit ok;
  started;
  do
  :: tries == 2 -> break
  :: else ->
    tries++;
    w = claim;
    if
    :: KIND(w) == OFFER -> goto accept
    :: w != 0 -> goto again
    :: else
    fi;
    h = head; t = tail;
    if :: h == t -> goto again :: else fi;
    request = CLAIM(REQUEST, 0, 0, me * 4 + tries);
    cas(0, request, ok);
    if :: !ok -> goto again :: else fi;
    if                                                              /* patience, or none */
    :: skip
    :: w = claim; if :: w != request -> goto accept :: else fi
    fi;
#ifndef NO_BARRIER
    if :: fenced :: !fenced -> FENCE fi;                            /* membarrier */
#endif
    h = head; t = tail; n = t - h;
    if :: n == 0 || n > CAP -> cas(request, 0, ok); goto again :: else fi;
    i = 0;
    do :: i < n -> mine[i] = slot[(h + i) % CAP]; i++ :: else -> break od;
    cas(request, CLAIM(TAKEN, h, n, SEQ(request)), ok);
    if :: ok -> goto have_all :: else -> w = claim fi;
accept:
    if :: KIND(w) != OFFER -> goto again :: else fi;
    n = COUNT(w); first = FIRST(w); i = 0;
    do :: i < n -> mine[i] = slot[(first + i) % CAP]; i++ :: else -> break od;
    cas(w, 0, ok);
    if :: !ok -> goto again :: else fi;
have_all:
    atomic { i = 0; do :: i < n -> have(mine[i]); i++ :: else -> break od };
again: skip;
    atomic { w = 0; request = 0; h = 0; t = 0; n = 0; i = 0; first = 0; mine[0] = 0; mine[1] = 0 }
  od;
  running--
}

/* A worker that found nothing: clear the bit, look again. ReadySet.retire with WorkerCache.isEmpty. */
active proctype looker() {
  byte h, t; short w; bit nothing;
  started;
  level = 0;
retry:
  w = claim;
  if
  :: KIND(w) == OFFER || KIND(w) == OFFERING -> nothing = 0
  :: else ->
#ifdef TAIL_FIRST
    t = tail; h = head;
#else
    h = head; t = tail;
#endif
    nothing = (h == t || KIND(w) == TAKEN);
#ifndef NO_RECHECK
    if :: nothing && claim != w -> nothing = 0; goto retry :: else fi
#endif
  fi;
  if :: !nothing -> level = 1 :: else fi;
  running--
}

init { atomic { run thief(1); run thief(2) } }
