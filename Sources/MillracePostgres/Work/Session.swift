#if Postgres
  internal import MillraceLog

  /// The server's process for a connection: its number may be given again, the moment it started is not.
  struct Backend: Equatable, Sendable {
    var process: Int32
    var started: String
  }

  /// What every connection of a store is set to, and what is looked at before it is used.
  struct Session: Sendable {
    let target: ServerTarget
    let schema: String
    let statementTimeout: Duration
    let connectTimeout: Duration
    let requiresSync: Bool

    /// Notifications of this schema's stores.
    var channel: String { "millrace_" + schema }

    /// The advisory lock of appends and migrations: FNV-1a of the schema's name.
    var lock: Int64 {
      var hash: UInt64 = 0xcbf2_9ce4_8422_2325
      for byte in ("millrace." + schema).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      return Int64(bitPattern: hash)
    }

    /// The lock of whoever sweeps.
    var sweepLock: Int64 { lock ^ 1 }

    /// Plans follow the indexes that each statement was written for, whatever the statistics say: an append-only table is never as they last saw it.
    var settings: String {
      """
      set search_path to "\(schema)"; set statement_timeout to \(statementTimeout.milliseconds); set idle_in_transaction_session_timeout to 60000;
      set default_transaction_isolation to 'read committed'; set jit to off; set max_parallel_workers_per_gather to 0; set plan_cache_mode to force_generic_plan; set enable_seqscan to off;
      set enable_bitmapscan to off; set enable_hashjoin to off; set enable_mergejoin to off; set tcp_keepalives_idle to 10;
      set tcp_keepalives_interval to 5; set tcp_keepalives_count to 3;
      select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
      """
    }

    /// A connection in pipeline mode, the server's process behind it, and the first position that has no event.
    struct Start {
      var connection: Connection
      var backend: Backend
      var end: UInt64
    }

    /// `predecessor`: ended first, so that what it may still be doing has an outcome.
    func begin(
      _ statements: [Statement], listens: Bool, predecessor: Backend?, isGivenUp: () -> Bool = { false }
    ) throws(Failure) -> Start {
      let deadline = Monotonic.now + connectTimeout.nanoseconds
      let connection = try Connection(target, deadline: deadline, isGivenUp: isGivenUp)
      func run(_ sql: String) throws(Failure) -> Rows { try connection.run(sql, deadline: deadline, isGivenUp: isGivenUp) }
      if let predecessor {
        let ended = try run(
          """
          select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where pid = \(predecessor.process) and extract(epoch from backend_start)::text = '\(predecessor.started)'
          """)
        if ended.count > 0, ended.text(0, 0) != "t" {
          throw .lost("\(target.place): the server's process \(predecessor.process), whose connection was lost, does not end")
        }
      }
      _ = try run(settings)
      try check(
        run(
          """
          select coalesce((select max(number) from migrations), 0), current_setting('server_encoding'), current_setting('fsync')
          """))
      let preparations = statements.map(\.preparation).joined(separator: ";\n")
      _ = try run(listens ? "\(preparations);\nlisten \(channel)" : preparations)
      // After `listen`: what is committed from now on is told, what was before is counted.
      let row = try run(
        "select position, (select extract(epoch from backend_start)::text from pg_stat_activity where pid = pg_backend_pid()) from head")
      guard row.count == 1, let end = row.text(0, 0).flatMap(UInt64.init) else {
        throw .refused(code: "XX000", text: "the schema \(schema) has no head: it is not whole")
      }
      try connection.beginPipeline()
      return Start(connection: connection, backend: Backend(process: connection.backend, started: row.text(0, 1) ?? ""), end: end)
    }

    private func check(_ rows: Rows) throws(Failure) {
      let version = rows.text(0, 0).flatMap(Int.init) ?? 0
      if version != Migration.all.count { throw .refused(code: "MR001", text: Migrations.mismatch(version, schema: schema)) }
      if let encoding = rows.text(0, 1), encoding != "UTF8" {
        throw .refused(code: "MR002", text: "the database's encoding is \(encoding), not UTF8: create it with `createdb -E UTF8`")
      }
      if requiresSync, rows.text(0, 2) != "on" {
        throw .refused(
          code: "MR003",
          text: "the server runs with fsync off, and would lose what it has acknowledged: switch it on, or set `requiresSync` to false")
      }
    }
  }

  extension Duration {
    /// 1 at least.
    var nanoseconds: UInt64 {
      let (seconds, attoseconds) = components
      return seconds < 0
        ? 1
        : max(
          1, UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000).partialValue + UInt64(attoseconds / 1_000_000_000))
    }

    /// 1 at least.
    var milliseconds: UInt64 { max(1, nanoseconds / 1_000_000) }
  }
#endif
