/*
 * Jobs on their way past the bits: Occupancy.insert and remove for the tenant and for the level, and the moves of a worker between queue, buffer and cache
 * (Worker.choose, adopt), and the job that is handed over directly (Levels.hand, takeHanded), with sleep and wake as parking.pml has shown them to be: one
 * step each. A handler may run for ever.
 *
 * Holds: no job is left behind a cleared bit while nobody looks, nor beside a worker that sleeps. What was announced is never overlooked: while it is in
 * the queue, its tenant and its level are listed.
 * Bounded: 2 workers; 2 producers, of one job, handed over if it may be, and of two; one tenant, one level; the cache of a worker holds what it has
 * adopted. 3.1e6 states.
 * Mistakes that must be found:
 * -DNO_SECOND_LOOK [!(waits)]  a bit is cleared without another look
 * -DNO_MARK [queue==0]  nothing stands in the place of the bit during the second look
 * -DMARK_UNSEEN [queue==0]  the level is taken out although its tenant is marked
 * -DTWO_LOOKERS [queue==0]  a second worker takes the mark over
 * -DLAST_UNSEEN [!(waits)]  the last searcher takes a marked level for an empty one
 * -DHANDED_MARKED [!(waits)]  a job is handed over although a level is marked for somebody's second look
 * -DHANDED_UNTOLD [!(waits)]  nobody is told of a job that was handed over
 * -DHANDED_UNMARKED [!(waits)]  it does not stand for its level
 * -DADOPTED_UNTOLD [!(waits)]  a worker that takes jobs from queue to cache tells nobody
 */
#define WORKERS 2
#define PRODUCERS 2

byte queue;             /* jobs of one tenant and priority */
bit live, level;        /* the tenant's bit, the level's bit */
bit liveMark, levelMark;
bit handed;             /* the job in the word of the levels */
byte announced;         /* producers that have announced their jobs */
byte told;              /* and have ended */
byte cache[WORKERS];    /* stealable jobs */
byte mask, search;      /* Parking */
bit asleep[WORKERS], busy[WORKERS];

#define LIVE (live || liveMark)
#define LEVEL (level || levelMark)
#ifdef LAST_UNSEEN
#define MORE level
#else
#define MORE LEVEL
#endif

/* parking.notify() */
inline notify() {
  d_step { if :: search == 0 && mask != 0 -> search++; if :: mask & 1 -> mask = mask & 2 :: else -> mask = 0 fi :: else fi }
}
/* insert(): a look, then a locked instruction only if needed */
inline insert(b) { if :: b :: else -> b = 1 fi }

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
#define REMOVE(b, mark, hasJobs) \
  if \
  :: atomic { FREE(mark) && b -> b = 0; mark = 1 }; \
    if :: (hasJobs) -> b = 1 :: else fi; \
    mark = 0 \
  :: else \
  fi
#endif
#endif

#ifdef HANDED_MARKED
#define NOTHING !level
#else
#define NOTHING !LEVEL
#endif
#ifdef HANDED_UNMARKED
#define MARKED
#else
#define MARKED ; levelMark = 1
#endif
proctype producer(byte n) {
  if
  :: n == 1 -> atomic { if :: NOTHING && !handed -> handed = 1 MARKED; announced++; goto tell :: else fi }
  :: else
  fi;
  queue = queue + n;                                  /* queue.append: one CAS for the batch */
  insert(live);                                       /* activate */
  if :: level -> announced++ :: else -> atomic { level = 1; announced++ } fi; /* announce */
tell:
#ifdef HANDED_UNTOLD
  if :: handed && n == 1 :: else -> notify() fi;
#else
  notify();
#endif
  told++
}

proctype worker(byte i) {
  bit searching, prepared, last;
  byte rounds, got;
begin:
  if :: !LEVEL && cache[i] == 0 -> goto nothing :: else fi;
  /* the own cache */
  if :: atomic { cache[i] > 0 -> cache[i]--; goto found } :: cache[i] == 0 fi;
take:
  if :: atomic { handed -> handed = 0; levelMark = 0; rounds = 0; goto found } :: !handed fi;      /* takeHanded */
  /* one round of all tenants, and once more */
  atomic { if :: !LIVE || rounds == 2 -> rounds = 0; goto steal :: else -> rounds++ fi };
  atomic { if :: queue > 2 -> queue = queue - 2; got = 2; rounds = 0; goto adopt :: else -> got = queue; queue = 0 fi };
  REMOVE(live, liveMark, queue > 0);                  /* fewer than asked for: deactivate */
  atomic { if :: got == 0 -> goto take :: got == 1 -> got = 0; rounds = 0; goto found :: got == 2 -> rounds = 0 fi };
adopt:
  atomic { got = 0; cache[i]++ };
  insert(level);
#ifndef ADOPTED_UNTOLD
  notify();
#endif
  goto found;
steal:
  if :: atomic { cache[1 - i] > 0 -> cache[1 - i]--; goto found } :: cache[1 - i] == 0 fi;
#ifdef MARK_UNSEEN
  REMOVE(level, levelMark, live || cache[0] > 0 || cache[1] > 0);      /* retire */
#else
  REMOVE(level, levelMark, LIVE || cache[0] > 0 || cache[1] > 0);      /* retire */
#endif
nothing:
  if :: prepared -> goto sleep :: else fi;            /* that was the second look */
  if
  :: atomic { !searching -> search++; searching = 1 } /* beginSearch */
  :: atomic { mask = mask | (1 << i); search = search - searching; searching = 0; prepared = 1 }  /* prepareToSleep */
  fi;
  goto begin;
sleep:
  asleep[i] = 1;
end_sleep:
  atomic { !(mask & (1 << i)) -> asleep[i] = 0; searching = 1; prepared = 0; goto begin };   /* the waker has counted us */
found:
  /* cancelSleep: by itself, or somebody was about to wake us */
  if :: prepared -> atomic { if :: mask & (1 << i) -> mask = mask & ~(1 << i); search++ :: else fi; searching = 1; prepared = 0 } :: else fi;
  if
  :: searching ->
    atomic { assert(search > 0); search--; searching = 0; last = (search == 0) };
    if :: atomic { last && MORE -> last = 0 }; notify() :: else -> last = 0 fi
  :: else
  fi;
  busy[i] = 1;                                        /* the handler */
  atomic { busy[i] = 0; goto begin }
}

#define REST(i) (busy[i] || asleep[i] && (mask & (1 << i)))
bit waits;
#define WAITS (handed + queue + cache[0] + cache[1] > 0)
/* All producers have announced: whatever is in the queue is listed. All have ended: no job waits while one worker sleeps and the other is in a handler. */
active proctype monitor() {
end:
  do
  :: d_step { announced == PRODUCERS && queue > 0 && (!LIVE || !LEVEL) -> assert(queue == 0) }
  :: d_step { told == PRODUCERS && REST(0) && REST(1) && mask != 0 && WAITS -> waits = 1; assert(!waits) }
  od
}

init { atomic { run worker(0); run worker(1); run producer(1); run producer(2) } }
