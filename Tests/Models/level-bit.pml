/*
 * Jobs on their way past the bits: Occupancy.insert and remove for the tenant and for the level, and the moves of a worker between queue, buffer and cache
 * (Worker.choose, adopt), with sleep and wake as parking.pml has shown them to be: one step each. A worker that has a job in its handler stays there while
 * any job is ready.
 *
 * Holds: no job is left behind a cleared bit while nobody looks, nor beside a worker that sleeps. What was announced is never overlooked: while it is in
 * the queue, its tenant and its level are listed.
 * Mistakes that must be found:
 * -DNO_SECOND_LOOK  a bit is cleared without another look
 * -DNO_MARK  nothing stands in the place of the bit during the second look
 * -DMARK_UNSEEN  the level is taken out although its tenant is marked
 * -DTWO_LOOKERS  a second worker takes the mark over
 * -DLAST_UNSEEN  the last searcher takes a marked level for an empty one
 * -DADOPTED_UNTOLD  a worker that takes jobs from queue to cache tells nobody
 */
#define WORKERS 2

byte queue;             /* jobs of one tenant and priority */
bit live, level;        /* the tenant's bit, the level's bit */
bit liveMark, levelMark;
byte announced;         /* producers that have announced their jobs */
byte cache[WORKERS];    /* stealable jobs */
byte private;           /* jobs between two places */
byte mask, search;      /* Parking */
byte busy;              /* workers in handlers */

#define READY (queue + cache[0] + cache[1] + private > 0)

/* parking.notify() */
inline notify() {
  atomic {
    if
    :: search == 0 && mask != 0 -> search++; if :: mask & 1 -> mask = mask & 2 :: else -> mask = 0 fi
    :: else
    fi
  }
}
/* insert(): a look, then a locked instruction only if needed */
inline announce() { if :: level == 0 -> level = 1 :: else fi }
#define LIVE (live || liveMark)
#define LEVEL (level || levelMark)
#ifdef LAST_UNSEEN
#define MORE level
#else
#define MORE LEVEL
#endif

/* remove(): out with a mark in its place, a second look, back if there was something, and the mark away */
#ifdef NO_SECOND_LOOK
#define REMOVE(b, mark, hasJobs) b = 0
#else
#ifdef NO_MARK
#define REMOVE(b, mark, hasJobs) b = 0; if :: (hasJobs) -> b = 1 :: else fi
#else
#ifdef TWO_LOOKERS
#define FREE(mark) true
#else
#define FREE(mark) !mark
#endif
#define REMOVE(b, mark, hasJobs) atomic { if :: FREE(mark) && b -> b = 0; mark = 1; seen = 1 :: else -> seen = 0 fi }; \
    if :: seen -> seen = (hasJobs); if :: seen -> b = 1 :: else fi; mark = 0; seen = 0 :: else fi
#endif
#endif

proctype producer(byte n) {
  atomic { queue = queue + n };                       /* queue.append: one CAS for the batch */
  if :: live == 0 -> live = 1 :: else fi;         /* activate */
  announce();
  announced++;
  notify()
}

proctype worker(byte i) {
  bit searching, prepared, last, seen;
  byte rounds;
  byte got;
  do
  :: true ->
begin:
    if :: !LEVEL && cache[i] == 0 -> goto nothing :: else fi;
    rounds = 0;
    /* the own cache */
    atomic { if :: cache[i] > 0 -> cache[i]--; got = 1; goto found :: else fi };
take:
    /* one round of all tenants, and once more */
    if :: !LIVE || rounds == 2 -> goto steal :: else rounds++ fi;
    atomic { if :: queue > 2 -> queue = queue - 2; got = 2 :: else -> got = queue; queue = 0 fi; private = private + (got > 1 -> got - 1 : 0) };
    if
    :: got < 2 -> REMOVE(live, liveMark, queue > 0)      /* fewer than asked for: deactivate */
    :: else
    fi;
    if
    :: got == 0 -> goto take
    :: got == 1 -> goto found
    :: got == 2 ->                                    /* adopt */
      atomic { private--; cache[i]++ };
      announce();
#ifndef ADOPTED_UNTOLD
      notify();
#endif
      goto found
    fi;
steal:
    atomic { if :: cache[1 - i] > 0 -> cache[1 - i]--; got = 1; goto found :: else fi };
#ifdef MARK_UNSEEN
    REMOVE(level, levelMark, live || cache[0] > 0 || cache[1] > 0);      /* retire */
#else
    REMOVE(level, levelMark, LIVE || cache[0] > 0 || cache[1] > 0);      /* retire */
#endif
nothing:
    if
    :: prepared -> goto end_sleep                  /* that was the second look */
    :: else
    fi;
    if
    :: !searching -> search++; searching = 1; goto begin   /* beginSearch */
    :: atomic { mask = mask | (1 << i); search = search - searching; searching = 0; prepared = 1 };  /* prepareToSleep */
      goto begin
    fi;
end_sleep:
    !(mask & (1 << i));
    atomic { searching = 1; prepared = 0 };           /* the waker has counted us */
    goto again;
found:
    got = 0;
    /* cancelSleep: by itself, or somebody was about to wake us */
    atomic { if :: prepared -> if :: mask & (1 << i) -> mask = mask & ~(1 << i); search++ :: else fi; searching = 1; prepared = 0 :: else fi };
    if
    :: searching -> atomic { assert(search > 0); search--; searching = 0; last = (search == 0) };
      if :: last && MORE -> notify() :: else fi
    :: else
    fi;
    busy++; (!READY || busy == WORKERS); busy--;      /* the handler */
again: skip
  od
}

/* All producers are done: whatever is in the queue is listed. */
active proctype listed() {
end:
  atomic { announced == 3 && queue > 0 && (!LIVE || !LEVEL); assert(false) }
}

active proctype monitor() { timeout -> assert(!READY) }

init { atomic { run worker(0); run worker(1); run producer(1); run producer(2); run producer(1) } }
