internal import Millrace
public import MillraceWorkflow

/// Ours beside peers, measured in one run: the content of `perf/results/NAME.json`. perf/README.md documents it.
///
/// In `ratio` and `goal` larger is better, whatever the unit: 2 is twice as good as the peer.
public struct ComparisonTable: Sendable {
  public struct Row: Sendable {
    /// What is done, as `independent`.
    public var work: String
    public var workers: Int
    /// Of `ours` and `peer`, as `ns` or `jobs/s`.
    public var unit: String
    public var ours: Double
    /// The best peer; nil: none was there.
    public var peer: Double?
    public var peerName: String?
    /// nil: nothing to compare with.
    public var ratio: Double?
    /// nil: the row is shown, nothing is asked of it.
    public var goal: Double?

    /// - Parameter largerIsBetter: of `ours` and `peer`: true for rates, false for times and bytes.
    public init(
      work: String, workers: Int, unit: String, ours: Double, peer: Double?, peerName: String?, goal: Double?, largerIsBetter: Bool
    ) {
      self.work = work
      self.workers = workers
      self.unit = unit
      self.ours = ours
      self.peer = peer
      self.peerName = peerName
      self.goal = goal
      let ratio = peer.map { largerIsBetter ? ours / $0 : $0 / ours }
      self.ratio = ratio.flatMap { $0.isFinite && $0 > 0 ? $0 : nil }
    }

    /// nil: nothing is asked. A goal without a peer to compare with is not reached: nothing shows it.
    public var isReached: Bool? { goal.map { goal in ratio.map { $0 >= goal } ?? false } }
  }

  public var name: String
  public var host: BenchHost
  public var commit: String
  /// UTC, as `2026-11-25T20:51:35Z`.
  public var date: String
  public var rows: [Row]

  public init(name: String, host: BenchHost, date: String, rows: [Row]) {
    self.name = name
    self.host = host
    commit = host.commit
    self.date = date
    self.rows = rows
  }

  /// Every row that has a goal reaches it.
  public var isReached: Bool { rows.allSatisfy { $0.isReached ?? true } }

  /// What a benchmark ends with: 0, or 1 where a goal is missed.
  ///
  /// - Parameter reportOnly: 0 in any case: for rows that show and do not gate.
  public func exitStatus(reportOnly: Bool = false) -> Int32 { reportOnly || isReached ? 0 : 1 }

  /// The content of the file, to be written with a newline behind it.
  public var json: JSON {
    .object([
      .init("name", .string(name)),
      .init("host", host.json),
      .init("commit", .string(commit)),
      .init("date", .string(date)),
      .init("rows", .array(rows.map(\.json))),
    ])
  }

  /// An aligned table, what is missed below it. Ends with a newline.
  public var text: String {
    var table = TextTable(["work", "workers", "ours", "peer", "unit", "", "ratio", "goal", ""], left: [0, 4, 5, 8])
    for row in rows {
      table.add([
        row.work, "\(row.workers)", Self.figure(row.ours), row.peer.map(Self.figure) ?? "–", row.unit, row.peerName ?? "",
        row.ratio.map { Self.figure($0) + "x" } ?? "–", row.goal.map { Quantity.number($0) + "x" } ?? "",
        row.isReached.map { $0 ? "reached" : "MISSED" } ?? "",
      ])
    }
    let asked = rows.compactMap(\.isReached)
    let reached = asked.count { $0 }
    let ping = host.pingPongNanoseconds.map { Quantity.seconds($0 / 1e9) } ?? "not measured"
    return "\(TerminalText.escaped(name)), commit \(TerminalText.escaped(String(commit.prefix(12)))), ping-pong \(ping)\n" + table.text
      + (asked.isEmpty ? "no goals\n" : "\(reached) of \(Quantity.count(asked.count, "goal")) reached\n")
  }

  /// Three digits.
  private static func figure(_ value: Double) -> String {
    Quantity.fixed(value, decimals: value.magnitude < 9.995 ? 2 : value.magnitude < 99.95 ? 1 : 0)
  }
}

extension ComparisonTable.Row {
  var json: JSON {
    .object([
      .init("work", .string(work)),
      .init("workers", .integer(Int64(workers))),
      .init("unit", .string(unit)),
      .init("ours", .number(ours)),
      .init("peer", peer.map(JSON.number) ?? .null),
      .init("peerName", peerName.map(JSON.string) ?? .null),
      .init("ratio", ratio.map(JSON.number) ?? .null),
      .init("goal", goal.map(JSON.number) ?? .null),
    ])
  }

  init(_ field: ResultField) throws(ResultFault) {
    work = try field.member("work").text()
    workers = try field.member("workers").count(least: 1)
    unit = try field.member("unit").text()
    ours = try field.member("ours").number()
    peer = try field.optional("peer")?.number()
    peerName = try field.optional("peerName")?.text()
    ratio = try field.optional("ratio")?.number()
    goal = try field.optional("goal")?.number()
  }
}

extension ComparisonTable {
  /// Rows that are read.
  static let rowLimit = 10_000

  /// Reads a file that a benchmark, or the runner of the peers, wrote.
  ///
  /// - Parameter name: stands in messages.
  public static func read(_ bytes: [UInt8], name: String) throws(BenchResultError) -> ComparisonTable {
    let json: JSON
    do throws(JSONSyntaxError) {
      json = try JSON(parsing: bytes)
    } catch {
      throw BenchResultError(file: name, message: "is no JSON: \(error)")
    }
    do throws(ResultFault) {
      return try ComparisonTable(ResultField(json))
    } catch {
      throw BenchResultError(file: name, message: error.message)
    }
  }

  init(_ field: ResultField) throws(ResultFault) {
    name = try field.member("name").text()
    host = try BenchHost(field.member("host"))
    commit = try field.member("commit").text()
    date = try field.member("date").text()
    rows = []
    for row in try field.member("rows").list(limit: Self.rowLimit) { rows.append(try Row(row)) }
  }
}
