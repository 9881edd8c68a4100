/*
 * Versions of the routing table, and how what only old ones have is freed: Sources/MillraceBroker/Routing/Router.swift and RoutingLane.swift. A writer that
 * publishes versions in records that come round, and two lanes that read them.
 *
 * Version v consists of the nodes v and v - 1: publishing v retires node v - 2, which is freed when no lane can read a version before v. The record of version
 * v lies at v mod RECORDS and is written over by version v + RECORDS.
 *
 * Holds: a lane reads only nodes that have not been freed, from a record that is still its version's, and never an older version after a newer one.
 * Bounded: 5 versions, 3 records, 2 lanes with 2 routes each; sequentially consistent, as the operations are. 1.0e6 states.
 * Mistakes that must be found:
 * -DNO_PIN [freed]  a lane does not say what it reads
 * -DPIN_LATE [freed]  a lane says what it reads after it has looked which version there is
 * -DNO_LOOK [freed]  the writer frees without looking at the lanes
 * -DFREE_EARLY [freed]  what a version retires is freed as soon as that version is published
 * -DNO_WAIT [place]  the writer does not wait for lanes before it writes over a record
 */
#define VERSIONS 5
#define RECORDS 3
#define LANES 2
#define ROUTES 2

byte current = 1;
byte record[RECORDS];
byte reading[LANES];
bit freed[VERSIONS + 1];

/* The oldest version that a lane may be reading, or the current one. Lane by lane, as the writer looks. */
inline look(oldest) {
  oldest = current;
#ifndef NO_LOOK
  seen = reading[0];
  if :: seen != 0 && seen < oldest -> oldest = seen :: else fi;
  seen = reading[1];
  if :: seen != 0 && seen < oldest -> oldest = seen :: else fi
#endif
}

active proctype writer() {
  byte version = 2, oldest, seen, node;
  do
  :: version > VERSIONS -> break
  :: else ->
    /* reclaim: the record that is written over has had its version's time. */
    do
    :: look(oldest);
       /* Retired by version n: node n - 2, which versions from n on do not have. */
       node = 1;
       do
       :: node + 2 <= oldest && node < VERSIONS -> freed[node] = 1; node++
       :: else -> break
       od;
#ifdef NO_WAIT
       break
#else
       if :: version < oldest + RECORDS -> break :: else fi
#endif
    od;
    record[version % RECORDS] = version;
    current = version;
#ifdef FREE_EARLY
    if :: version > 2 -> freed[version - 2] = 1 :: else fi;
#endif
    version++
  od
}

active [LANES] proctype lane() {
  byte me = _pid - 1, route, version, newest, place;
  do
  :: route == ROUTES -> break
  :: else ->
    version = current;
#ifdef NO_PIN
    skip;
#else
#ifdef PIN_LATE
    reading[me] = version;
#else
    reading[me] = version;
    version = current;
#endif
#endif
    assert(version >= newest);
    newest = version;
    place = record[version % RECORDS];
    assert(place == version || place == 0 && version == 1);
    assert(!freed[version]);
    if :: version > 1 -> assert(!freed[version - 1]) :: else fi;
    reading[me] = 0;
    route++
  od
}
