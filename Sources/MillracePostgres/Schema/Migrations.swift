#if Postgres
  /// What a database is brought to, step by step. A migration that has been released is never changed: another one follows it.
  ///
  /// - `events` are partitioned by position, which is the order of commits: writers touch the newest partition only, whose indexes stay in memory, old
  ///   partitions are never written again, and vacuum is done with each of them once. A stream knows its first and last position, so that reading it
  ///   opens no other partitions. Tenants are a column with an index: there may be any number of them, and each partition costs every query.
  /// - `head` is one row: the next position, given inside the committing transaction under one advisory lock. It is rolled back with it.
  /// - `marks`: all events before `position` have times up to `highest`. By them a time is found without an index over all times.
  struct Migration {
    let name: String
    let sql: String

    static let all = [
      Migration(name: "streams, events, snapshots", sql: tables),
      Migration(name: "appending", sql: append),
      Migration(name: "limits of streams", sql: limits),
    ]

    private static let tables = """
      create table head (
        one boolean primary key default true check (one),
        position bigint not null default 0,
        highest bigint not null default \(Int64.min),
        marked bigint not null default 0,
        partition_events bigint not null,
        partitions_end bigint not null default 0
      ) with (fillfactor = 25);
      create table marks (position bigint primary key, highest bigint not null);
      create index on marks (highest, position);
      create table streams (
        id bigint generated always as identity primary key,
        name text collate "C" not null unique,
        category text collate "C" not null,
        version bigint not null default -1,
        first_position bigint,
        last_position bigint,
        max_count bigint,
        max_age bigint,
        floor bigint not null default 0,
        swept bigint not null default 0
      ) with (fillfactor = 70);
      create index streams_limited on streams (id) where max_count is not null or max_age is not null or floor > swept;
      create table events (
        position bigint not null,
        stream bigint not null,
        version bigint not null,
        time bigint not null,
        id uuid not null,
        correlation uuid,
        causation uuid,
        type_version integer not null,
        tenant text collate "C",
        category text collate "C" not null,
        type text collate "C" not null,
        content_type text collate "C" not null,
        trace bytea,
        payload bytea not null,
        primary key (position)
      ) partition by range (position);
      create index on events (stream, version);
      create index on events (id);
      create index on events (category, position);
      create index on events (tenant, position) where tenant is not null;
      create table snapshots (
        stream text collate "C" not null,
        reducer text collate "C" not null,
        reducer_version bigint not null,
        version bigint not null,
        state bytea not null,
        primary key (stream, reducer)
      );
      create function add_partition(start bigint, finish bigint) returns void language plpgsql as $$
      begin
        execute format('create table events_%s (like events including defaults including constraints)', start);
        execute format('alter table events attach partition events_%s for values from (%s) to (%s)', start, start, finish);
      end $$;
      """

    /// A group of appends in one transaction. Each is judged for itself: what is refused is left out, and the others take place.
    ///
    /// Streams `s_`, requests `r_`, the streams of a request `a_`, events `e_`. Expected versions: exact ones from 0, -1 no stream, -2 any, -3 the
    /// stream exists. No two requests of a group have an id in common. Outcomes: 0 appended, 1 known, 2 wrong version, 3 ids partly known,
    /// 4 refused because of another stream of the request.
    private static let append = """
      create function append(
        lock_key bigint, channel text, window_events bigint, window_from bigint, s_name text[], s_category text[], r_count int[],
        a_stream int[], a_expected bigint[], a_first int[], a_count int[], a_tenant text[], a_time bigint[],
        e_append int[], e_id uuid[], e_type text[], e_type_version int[], e_content_type text[], e_payload bytea[], e_correlation uuid[],
        e_causation uuid[], e_trace bytea[])
      returns table (outcome int, from_version bigint, to_version bigint, from_position bigint, to_position bigint, known uuid, known_time bigint)
      language plpgsql as $$
      #variable_conflict use_column
      declare
        h head%rowtype;
        searched bigint;
        repeated boolean;
        ids bigint[];
        versions bigint[];
        starts bigint[] := array_fill(null::bigint, array[cardinality(s_name)]);
        ends bigint[] := starts;
        o_outcome int[] := array_fill(4, array[cardinality(a_stream)]);
        o_from_version bigint[] := array_fill(null::bigint, array[cardinality(a_stream)]);
        o_to_version bigint[] := o_from_version;
        o_from_position bigint[] := o_from_version;
        o_to_position bigint[] := o_from_version;
        o_known uuid[] := array_fill(null::uuid, array[cardinality(a_stream)]);
        o_known_time bigint[] := o_from_version;
        next bigint;
        highest_now bigint;
        finish bigint;
        first int := 1;
        last int;
        members int;
        s int;
        fits boolean;
        whole int;
        found_events int;
        found_first bigint;
        found_last bigint;
        found_start bigint;
        found_end bigint;
        found_offset bigint;
        found_spread bigint;
        found_id uuid;
        found_time bigint;
      begin
        perform pg_advisory_xact_lock(lock_key);
        select * into strict h from head;
        next := h.position;
        highest_now := h.highest;
        searched := least(h.position - window_events, window_from);
        select array_agg(t.id order by n), array_agg(coalesce(t.version, -1) order by n) into ids, versions
          from unnest(s_name) with ordinality as u(name, n) left join streams t on t.name = u.name;
        perform 1 from unnest(e_id) as k(id) join events e on e.id = k.id where e.position >= searched limit 1;
        repeated := found;

        foreach members in array r_count loop
          last := first + members - 1;
          fits := not repeated;
          if fits then
            for k in first..last loop
              if not (a_expected[k] = -2 or a_expected[k] = versions[a_stream[k]] or (a_expected[k] = -3 and versions[a_stream[k]] >= 0)) then
                fits := false;
                exit;
              end if;
            end loop;
          end if;

          if not fits then
            whole := 0;
            fits := true;
            for k in first..last loop
              s := a_stream[k];
              if a_expected[k] > versions[s] then
                fits := false;
                o_outcome[k] := 2;
                o_from_version[k] := versions[s];
                continue;
              end if;
              select count(*), min(f.version), max(f.version), min(f.position), max(f.position), min(f.version - f.n), max(f.version - f.n),
                  (array_agg(f.id order by f.n))[1], min(f.time)
                into found_events, found_first, found_last, found_start, found_end, found_offset, found_spread, found_id, found_time
                from (
                  select distinct on (d.n) d.n, e.id, e.version, e.position, e.time
                  from unnest(e_id[a_first[k]:a_first[k] + a_count[k] - 1]) with ordinality as d(id, n)
                  join streams t on t.id = ids[s]
                  join events e on e.id = d.id and e.stream = t.id
                  where e.position >= t.first_position and e.position <= t.last_position and (a_expected[k] >= -1 or e.position >= searched)
                  order by d.n, e.position desc
                ) f;
              if found_events = 0 then continue; end if;
              o_known[k] := found_id;
              if found_events = a_count[k] and found_offset = found_spread then
                whole := whole + 1;
                o_outcome[k] := 1;
                o_from_version[k] := found_first;
                o_to_version[k] := found_last;
                o_from_position[k] := found_start;
                o_to_position[k] := found_end;
                o_known_time[k] := found_time;
              else
                fits := false;
                o_outcome[k] := 3;
              end if;
            end loop;
            if fits and whole = members then
              fits := false;
            elsif fits and whole > 0 then
              fits := false;
              for k in first..last loop
                if o_outcome[k] = 1 then o_outcome[k] := 3; end if;
              end loop;
            elsif fits then
              for k in first..last loop
                s := a_stream[k];
                if not (a_expected[k] = -2 or a_expected[k] = versions[s] or (a_expected[k] = -3 and versions[s] >= 0)) then
                  fits := false;
                  o_outcome[k] := 2;
                  o_from_version[k] := versions[s];
                end if;
              end loop;
            end if;
          end if;

          if fits then
            for k in first..last loop
              s := a_stream[k];
              o_outcome[k] := 0;
              o_from_version[k] := versions[s] + 1;
              versions[s] := versions[s] + a_count[k];
              o_to_version[k] := versions[s];
              o_from_position[k] := next;
              if starts[s] is null then starts[s] := next; end if;
              next := next + a_count[k];
              o_to_position[k] := next - 1;
              ends[s] := next - 1;
              if a_time[k] > highest_now then highest_now := a_time[k]; end if;
            end loop;
          end if;
          first := last + 1;
        end loop;

        if next > h.position then
          while h.partitions_end < next loop
            finish := h.partitions_end + h.partition_events;
            perform add_partition(h.partitions_end, finish);
            h.partitions_end := finish;
          end loop;
          update streams t set version = versions[u.n], first_position = coalesce(t.first_position, starts[u.n]), last_position = ends[u.n]
            from unnest(ids) with ordinality as u(id, n) where t.id = u.id and ends[u.n] is not null;
          insert into streams (name, category, version, first_position, last_position)
            select u.name, u.category, versions[u.n], starts[u.n], ends[u.n] from unnest(s_name, s_category) with ordinality as u(name, category, n)
            where ids[u.n] is null and ends[u.n] is not null;
          if found then
            select array_agg(t.id order by n) into ids from unnest(s_name) with ordinality as u(name, n) left join streams t on t.name = u.name;
          end if;
          insert into events (position, stream, version, time, id, correlation, causation, type_version, tenant, category, type, content_type, trace,
              payload)
            select o_from_position[e.a] + e.n - a_first[e.a], ids[a_stream[e.a]], o_from_version[e.a] + e.n - a_first[e.a], a_time[e.a], e.id,
              e.correlation, e.causation, e.type_version, a_tenant[e.a], s_category[a_stream[e.a]], e.type, e.content_type, e.trace, e.payload
            from unnest(e_append, e_id, e_type, e_type_version, e_content_type, e_payload, e_correlation, e_causation, e_trace) with ordinality
              as e(a, id, type, type_version, content_type, payload, correlation, causation, trace, n)
            where o_outcome[e.a] = 0;
          if h.position - h.marked >= 1024 then
            insert into marks values (h.position, h.highest);
            h.marked := h.position;
          end if;
          update head set position = next, highest = highest_now, marked = h.marked, partitions_end = h.partitions_end;
          perform pg_notify(channel, next::text);
        end if;
        return query select * from unnest(o_outcome, o_from_version, o_to_version, o_from_position, o_to_position, o_known, o_known_time);
      end $$;
      create function position_since(since bigint) returns bigint language sql stable as $$
        select coalesce(
          (select e.position from events e
            where e.position >= coalesce((select m.position from marks m where m.highest < since order by m.highest desc, m.position desc limit 1), 0)
              and e.time >= since
            order by e.position limit 1),
          (select h.position from head h))
      $$;
      """

    /// What has fallen out once stays so: `floor` only rises. Events whose ids are still looked for are not swept.
    private static let limits = """
      create function set_limits(
        lock_key bigint, stream_name text, stream_category text, new_count bigint, new_age bigint, new_first bigint, wall bigint)
      returns void language plpgsql as $$
      begin
        perform pg_advisory_xact_lock(lock_key);
        insert into streams (name, category, max_count, max_age, floor) values (stream_name, stream_category, new_count, new_age, new_first)
        on conflict (name) do update set max_count = new_count, max_age = new_age,
          floor = greatest(new_first, streams.floor, streams.version - streams.max_count + 1,
            case when streams.max_age is not null then coalesce(
              (select min(e.version) from events e where e.stream = streams.id and e.time >= wall - streams.max_age
                and e.position between streams.first_position and streams.last_position), streams.version + 1) end);
      end $$;
      create function sweep(lock_key bigint, after bigint, wall bigint, window_events bigint, most bigint) returns bigint language plpgsql as $$
      declare
        t streams%rowtype;
        kept_from bigint;
        least_version bigint;
        done bigint := 0;
        rows bigint;
        reached bigint := 0;
      begin
        if not pg_try_advisory_xact_lock(lock_key) then return after; end if;
        select h.position - window_events into kept_from from head h;
        for t in select * from streams u
          where u.id > after and (u.max_count is not null or u.max_age is not null or u.floor > u.swept) order by u.id limit 1000
        loop
          least_version := greatest(t.floor, t.version - t.max_count + 1);
          delete from events e where e.stream = t.id and e.position >= t.first_position and e.position <= t.last_position
            and e.position < kept_from and (e.version < least_version or e.time < wall - t.max_age);
          get diagnostics rows = row_count;
          if rows > 0 or (t.floor > t.swept and kept_from > t.last_position) then
            update streams u set swept = greatest(u.swept, case when kept_from > t.last_position then t.floor else u.swept end),
              first_position = coalesce(
                (select e.position from events e where e.stream = t.id and e.position >= t.first_position and e.position <= u.last_position
                  order by e.version limit 1), t.last_position)
              where u.id = t.id;
          end if;
          done := done + rows;
          reached := t.id;
          if done >= most then return reached; end if;
        end loop;
        if reached > 0 and (select count(*) from streams u where u.id > reached
          and (u.max_count is not null or u.max_age is not null or u.floor > u.swept)) > 0 then
          return reached;
        end if;
        return 0;
      end $$;
      """
  }
#endif
