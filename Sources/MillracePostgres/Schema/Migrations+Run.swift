#if Postgres
  internal import MillraceLog

  /// Brings a schema to the version that this program knows.
  enum Migrations {
    static func mismatch(_ version: Int, schema: String) -> String {
      let known = Migration.all.count
      return version > known
        ? "the schema \(schema) is of version \(version), this program knows up to \(known): use the program that made it, or a newer one"
        : "the schema \(schema) is of version \(version), this program needs \(known): open the store with `migrates`"
    }

    /// All that are missing in one transaction, under the lock of appends: nobody sees half of it, and two programs that start together do it once.
    static func run(_ session: Session, partitionEvents: UInt64) throws(Failure) {
      // Long enough for a migration of a large table; only the connection itself is impatient.
      let connection = try Connection(session.target, deadline: Monotonic.now + session.connectTimeout.nanoseconds)
      let deadline = Monotonic.now + Duration.seconds(600).nanoseconds
      func run(_ sql: String) throws(Failure) -> Rows { try connection.run(sql, deadline: deadline) }
      let schema = session.schema
      _ = try run("begin; set local client_min_messages to warning; select pg_advisory_xact_lock(\(session.lock))")
      let found = try run("select 1 from information_schema.schemata where schema_name = '\(schema)'")
      if found.count == 0 { _ = try run("create schema \"\(schema)\"") }
      _ = try run(
        """
        set local search_path to "\(schema)";
        create table if not exists migrations (number integer primary key, name text not null, time timestamptz not null default now())
        """)
      let version = try run("select coalesce(max(number), 0) from migrations").text(0, 0).flatMap(Int.init) ?? 0
      if version > Migration.all.count { throw .refused(code: "MR001", text: mismatch(version, schema: schema)) }
      for (index, migration) in Migration.all.enumerated().dropFirst(version) {
        _ = try run("\(migration.sql)\ninsert into migrations (number, name) values (\(index + 1), '\(migration.name)')")
        if index == 0 { _ = try run("insert into head (partition_events) values (\(partitionEvents))") }
      }
      _ = try run("commit")
    }
  }
#endif
