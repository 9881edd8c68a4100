#if Postgres
  internal import MillraceLog

  /// What a session prepares when it begins.
  struct Statement: Hashable, Sendable {
    let name: String
    let types: String
    let sql: String

    static func == (one: Statement, other: Statement) -> Bool { one.name == other.name }
    func hash(into hasher: inout Hasher) { hasher.combine(name) }

    var preparation: String { "prepare \(name)\(types.isEmpty ? "" : "(\(types))") as \(sql)" }

    static let append = Statement(
      name: "append",
      types:
        "bigint, text, bigint, bigint, text[], text[], int[], int[], bigint[], int[], int[], text[], bigint[], int[], uuid[], text[], int[], text[], "
        + "bytea[], uuid[], uuid[], bytea[]",
      sql: "select * from append(" + (1...22).map { "$\($0)" }.joined(separator: ", ") + ")")
    static let end = Statement(name: "end_position", types: "", sql: "select position from head")
    static let since = Statement(name: "since", types: "bigint", sql: "select position_since($1)")
    static let setLimits = Statement(
      name: "limit_stream", types: "bigint, text, text, bigint, bigint, bigint, bigint",
      sql: "select set_limits($1, $2, $3, $4, $5, $6, $7)")
    static let sweep = Statement(
      name: "sweep_streams", types: "bigint, bigint, bigint, bigint, bigint", sql: "select sweep($1, $2, $3, $4, $5)")
    /// Nothing is written where the stream has not come so far: the answer has the stream's version in each case.
    static let save = Statement(
      name: "save_snapshot", types: "text, text, bigint, bigint, bytea",
      sql: """
        with actual as (select version from streams where name = $1 and version >= 0), saved as (
          insert into snapshots (stream, reducer, reducer_version, version, state) select $1, $2, $3, $4, $5 from actual where version >= $4
          on conflict (stream, reducer) do update
            set reducer_version = excluded.reducer_version, version = excluded.version, state = excluded.state
            where (snapshots.version, snapshots.reducer_version) <= (excluded.version, excluded.reducer_version)
          returning 1)
        select version from actual
        """)
    static let snapshot = Statement(
      name: "latest_snapshot", types: "text, text",
      sql: "select reducer_version, version, state from snapshots where stream = $1 and reducer = $2")

    static let forAppends = [append]
    static let forReads = [end, since, setLimits, sweep, save, snapshot] + PageStatement.all.map(\.statement)
  }

  /// The statements that read pages: each combination has its own text, so that each has its own plan and its own index.
  struct PageStatement: Hashable, Sendable {
    enum Scope: String, CaseIterable { case stream, category, all }

    let scope: Scope
    let isForward: Bool
    let hasTenant: Bool

    init(scope: Scope, isForward: Bool, hasTenant: Bool) {
      self.scope = scope
      self.isForward = isForward
      self.hasTenant = hasTenant
    }

    init(_ request: ReadRequest) {
      scope =
        switch request.scope {
        case .stream: .stream
        case .category: .category
        case .all: .all
        }
      isForward = request.direction == .forward
      hasTenant = request.tenant != nil
    }

    static let all = Scope.allCases.flatMap { scope in
      [true, false].flatMap { forward in
        [true, false].map { PageStatement(scope: scope, isForward: forward, hasTenant: $0) }
      }
    }

    var name: String { "page_\(scope.rawValue)_\(isForward ? "forward" : "backward")\(hasTenant ? "_tenant" : "")" }

    /// $1 stream or category, $2 start, $3 events, $4 bytes, $5 now, $6 tenant. One row at least where the scope is there: its end, then an event, or nulls.
    var statement: Statement {
      let key = scope == .stream ? "e.version" : "e.position"
      let order = "order by \(key)\(isForward ? "" : " desc")"
      var conditions = [
        "\(key) \(isForward ? ">=" : "<=") $2",
        "e.version >= greatest(s.floor, s.version - s.max_count + 1)",
        "(s.max_age is null or e.time >= $5 - s.max_age)",
      ]
      if hasTenant { conditions.append("e.tenant = $6") }
      let source: String
      let from: String
      switch scope {
      case .stream:
        conditions += ["e.stream = s.id", "e.position >= s.first_position", "e.position <= s.last_position"]
        source = "events e"
        from = "(select * from streams where name = $1) s"
      case .category:
        conditions.append("e.category = $1")
        source = "events e join streams s on s.id = e.stream"
        from = "(select position as version from head) s"
      case .all:
        source = "events e join streams s on s.id = e.stream"
        from = "(select position as version from head) s"
      }
      let columns =
        "e.position, e.version, e.time, e.id, e.correlation, e.causation, e.type_version, e.tenant, e.type, e.content_type, e.trace, e.payload, "
        + (scope == .stream ? "null::text as name" : "s.name")
      return Statement(
        name: name, types: "text, bigint, bigint, bigint, bigint" + (hasTenant ? ", text" : ""),
        sql: """
          select s.version as scope_end, p.* from \(from) left join lateral (
            select e.* from (
              select e.*, row_number() over w as n, sum(octet_length(e.payload)) over w as total, lead(true) over w as more
              from (select \(columns) from \(source) where \(conditions.joined(separator: " and ")) \(order) limit $3 + 1) e
              window w as (\(order))
            ) e where e.n <= $3 and (e.n = 1 or e.total <= $4) \(order)
          ) p on true
          """)
    }
  }
#endif
