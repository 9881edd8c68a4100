/*
 * The state word of one job with a token and a deadline: Sources/MillraceCore/Jobs/Job.swift, Worker.finishContended, Scheduler+Claims.swift.
 * The worker's handler says done or pending; a token holder ends the job, or looks and gives the claim back; the scan for overdue jobs, a canceller
 * and a timer that claims are at work at the same time. The record is freed and used again by another job.
 *
 * Holds: the attempt is settled exactly once, its slot comes back exactly once, nobody writes into the record of the next job, and nothing waits for ever.
 * Bounded: one job, one claim each by the token's holder and the timer, one scan, one cancel, one next life. 1.3e5 states.
 * Mistakes that must be found:
 * -DLOST_OUTCOME [settled==1]  a claim that is given back makes the job pending whatever its handler said
 * -DFLAG_WRITE [generation==1]  the worker marks the record before it has taken the state
 * -DCLAIM_ANY [state==]  a job that runs with neither token nor deadline can be claimed
 * -DNO_CANCEL_LOOK [settled==1]  the worker does not look at the cancellation once the job is pending
 * -DLATE_CANCEL [mark==2]  a late cancel of an earlier life writes its mark without looking
 */
mtype = { none, running, opened, pending, claimedRunning, claimedPending, completed, finished, overdue, freed };

mtype state = running;
byte generation = 1;    /* high half of the state word: changed in the same step */
byte said;              /* outcome byte of the word: 0 none, 1 pending, 2 done, 3 by token, 4 cancelled, 5 timed out */
byte mark;              /* Job.cancelled: generation */
bit queued;             /* in the completions */
byte settled, slots;    /* settlements of the attempt; slots given back */
byte lives = 1;
bit holdsSlot = 1;      /* the worker has it */
bit handlerBack;
byte verdict;           /* what the handler said */

/* One CAS on the word of life 1. */
inline cas(from, to, outcome, ok) { atomic { if :: generation == 1 && state == from -> state = to; said = outcome; ok = 1 :: else -> ok = 0 fi } }
/* free: the generation ends, and the record is another job's. */
inline settle() { atomic { assert(generation == 1); settled++; generation = 2; state = running; said = 0 } }
/* endClaimed: still in its handler, or to the completions */
inline endClaimed(outcome) {
  cas(claimedRunning, completed, outcome, ok);
  if
  :: ok
  :: else ->
    atomic { assert(generation == 1 && state == claimedPending); state = finished; said = outcome };
    atomic { assert(!queued); queued = 1 }
  fi
}
inline endPending() {
  cas(pending, claimedPending, 1, ok);
  if :: ok -> endClaimed(4) :: else fi
}

active proctype worker() {
  bit ok; byte outcome; mtype seen; byte life;
  /* start(): open if the job has a token or a deadline; else a fast finish without a CAS. */
  if
  :: skip ->
    outcome = 2;
    handlerBack = 1;
    atomic { assert(generation == 1); assert(state == running); settled++; generation = 2 }
    slots = 1; goto done
  :: state = opened
  fi;
  if :: outcome = 1 :: outcome = 2 fi;                                /* the handler */
  atomic { verdict = outcome; handlerBack = 1 };
#ifdef FLAG_WRITE
  if :: generation == 1 && state == opened -> assert(generation == 1); life = generation :: else fi;
  if :: life == 1 -> assert(generation == 1) :: else fi;              /* fields.flags |= slot */
#endif
  do                                                                  /* finishContended */
  :: atomic { seen = state; life = generation };
    if
    :: life != 1 || seen == overdue -> atomic { holdsSlot = 0; slots++ }; break     /* late: the slot was held until now */
    :: life == 1 && seen == opened && outcome == 2 ->
      cas(opened, completed, 2, ok);
      if :: ok -> atomic { holdsSlot = 0; slots++ }; settle(); break :: else fi
    :: life == 1 && seen == opened && outcome == 1 ->
      cas(opened, pending, 0, ok);
      if
      :: ok ->
        holdsSlot = 0;
#ifndef NO_CANCEL_LOOK
        if :: mark == 1 -> endPending() :: else fi;
#endif
        break
      :: else
      fi
    :: life == 1 && seen == completed -> atomic { holdsSlot = 0; slots++ }; settle(); break
    :: life == 1 && seen == claimedRunning ->
      cas(claimedRunning, claimedPending, outcome, ok);
      if :: ok -> holdsSlot = 0; break :: else fi
    fi
  od;
done: skip
}

/* settleCompleted on any worker: a `finished` job brings its slot, an `overdue` one does not. */
active proctype completions() {
end:
  do
  :: atomic { queued -> queued = 0 };
    if :: state == finished -> slots++ :: else -> assert(state == overdue) fi;
    settle()
  od
}

/* Whoever has the token, or a timer: claim, then end or give back. */
inline claim(ok) {
  ok = 0;
  do
  :: atomic { if :: generation == 1 && state == opened -> state = claimedRunning; ok = 1; break :: else fi };
#ifdef CLAIM_ANY
    atomic { if :: generation == 1 && state == running -> state = claimedRunning; ok = 1; break :: else fi };
#endif
    atomic { if :: generation == 1 && state == pending -> state = claimedPending; said = 1; ok = 1; break :: else fi };
    if :: generation != 1 || state == completed || state == finished || state == overdue -> break :: else -> (generation != 1 || state != running) fi
  od
}
inline unclaim() {
  cas(claimedRunning, opened, 0, ok);
  if
  :: ok
  :: else ->
    assert(generation == 1 && state == claimedPending);
#ifndef LOST_OUTCOME
    if
    :: said != 1 -> endClaimed(said)
    :: else ->
      atomic { state = pending };
      if :: mark == 1 -> endPending() :: else fi
    fi
#else
    state = pending
#endif
  fi
}

active proctype token() {
  bit ok;
  /* It may leave the token alone once the job ends without it. */
  if
  :: handlerBack && verdict == 2 -> goto alone
  :: mark == 1 -> goto alone
  :: claim(ok)
  fi;
  if :: ok -> endClaimed(3) :: else fi;
alone: skip
}

active proctype watcher() {
  bit ok;
  claim(ok);
  if
  :: ok -> unclaim()
  :: ok ->                                                            /* expireClaimed */
    cas(claimedRunning, overdue, 5, ok);
    if :: ok -> atomic { assert(!queued); queued = 1 } :: else -> endClaimed(5) fi
  :: else
  fi
}

active proctype scan() {                                              /* endOverdue(now:) */
  bit ok;
  if :: skip :: cas(opened, overdue, 5, ok); if :: ok -> atomic { assert(!queued); queued = 1 } :: else fi fi
}

byte cancelledNext;     /* the next job was cancelled */
active proctype canceller() {
  bit ok; byte m;
  if
  :: generation == 1 ->
#ifdef LATE_CANCEL
    mark = 1;
#else
    do
    :: m = mark;
      if
      :: m > 1 -> goto late
      :: m == 1 -> break
      :: else -> atomic { if :: mark == m -> mark = 1; ok = 1 :: else -> ok = 0 fi }; if :: ok -> break :: else fi
      fi
    od;
#endif
    endPending()
  :: else
  fi;
late: skip
}
/* The record's next job, cancelled at once: renew sets the mark just behind, cancel sets it. */
active proctype nextJob() {
  generation == 2;
  mark = 1;
  mark = 2;
  cancelledNext = 1
}

active proctype monitor() {
  timeout ->
  assert(settled == 1 && slots == 1 && generation == 2);
  assert(!cancelledNext || mark == 2)
}
