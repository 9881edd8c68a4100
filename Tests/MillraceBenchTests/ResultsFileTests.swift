import MillraceWorkflow
import Testing

@testable import MillraceBench

@Suite struct ResultsFileTests {
  private func refusal(_ bytes: [UInt8]) -> String {
    do throws(BenchResultError) {
      _ = try BenchResultFile.read(bytes, name: "r.json")
      return "read"
    } catch {
      return error.description
    }
  }

  /// The open sample, with one change to its JSON.
  private func changed(_ path: [String], _ value: JSON?) -> [UInt8] {
    func change(_ json: JSON, _ path: ArraySlice<String>) -> JSON {
      guard let first = path.first else { return value ?? .null }
      if let index = Int(first), case .array(var elements) = json {
        elements[index] = change(elements[index], path.dropFirst())
        return .array(elements)
      }
      guard case .object(var members) = json, let at = members.firstIndex(where: { $0.name == first }) else { return json }
      if path.count == 1, value == nil { members.remove(at: at) } else { members[at].value = change(members[at].value, path.dropFirst()) }
      return .object(members)
    }
    return change(Sample.open.json, path[...]).utf8()
  }

  @Test("what is written is read back the same")
  func roundTrip() throws {
    var machine = SampleMachine(seed: 1)
    for result in [Sample.open, Sample.searched, machine.measure(rounds: 2)] {
      let bytes = BenchResultFile.bytes(result)
      #expect(bytes.last == 0x0A)
      let again = try BenchResultFile.read(bytes, name: "r.json")
      #expect(again.json == result.json)
      #expect(again.levels.last?.rounds.last?.pingPongNanoseconds != nil)
    }
  }

  @Test("every stored property stands in the file under its name")
  func complete() {
    func check(_ value: Any, _ json: JSON?, _ path: String) {
      let mirror = Mirror(reflecting: value)
      for (label, child) in mirror.children {
        guard let label, mirror.displayStyle == .struct else { continue }
        let member = json?[label]
        #expect(member != nil, "\(path).\(label)")
        let children = Mirror(reflecting: child)
        let inner = children.displayStyle == .optional ? children.children.first?.value ?? child : child
        if Mirror(reflecting: inner).displayStyle == .struct { check(inner, member, "\(path).\(label)") }
        if let list = inner as? [BenchLevel], let first = list.first { check(first, member?[0], "\(path).levels[0]") }
        if let list = inner as? [BenchTrial], let first = list.first { check(first, member?[0], "\(path).trials[0]") }
        if let list = inner as? [BenchRound], let first = list.first { check(first, member?[0], "\(path).rounds[0]") }
      }
    }
    check(Sample.open, Sample.open.json, "result")
    check(Sample.searched, Sample.searched.json, "result")
  }

  @Test("an unknown schema is refused by name, whatever else is in the file")
  func unknownSchema() {
    let text = refusal(Array(#"{"schema": "millrace.bench/9", "novel": true}"#.utf8))
    #expect(text.contains("r.json: schema: \"millrace.bench/9\" is not known"))
    #expect(text.contains("millrace.bench/1"))
  }

  @Test("a file cut off anywhere is told to be cut off", arguments: [1, 10, 100, 1_000, 5_000])
  func truncated(bytes: Int) {
    let whole = BenchResultFile.bytes(Sample.open)
    #expect(refusal(Array(whole.prefix(bytes))).contains("cut off"))
    #expect(refusal(Array(whole.dropLast(bytes + 1))).contains("cut off"))
  }

  @Test("what is no JSON, and what is empty, is told so")
  func noJSON() {
    #expect(refusal(Array("level,throughput\n1,2\n".utf8)).contains("is no JSON: line 1, column 1"))
    #expect(refusal([]).contains("is empty"))
    #expect(refusal(Array(" \n".utf8)).contains("is empty"))
    #expect(refusal(Array(#"{"schema": nonsense, "x": 1}"#.utf8)).contains("is no JSON"))
    #expect(refusal(Array("[]".utf8)).contains("must be an object"))
  }

  @Test("more than 64 MiB is refused unread")
  func tooLarge() {
    #expect(refusal([UInt8](repeating: 0x20, count: BenchResultFile.limit + 1)).contains("more than 67108864 bytes"))
  }

  @Test("a member that is missing or of another kind is told with its place")
  func members() {
    #expect(refusal(changed(["levels", "0", "rounds", "1", "completed"], nil)).contains("levels[0].rounds[1].completed: is missing"))
    #expect(refusal(changed(["levels", "0", "rounds", "1", "completed"], -1)).contains("levels[0].rounds[1].completed: must be a whole"))
    #expect(refusal(changed(["configuration", "mode"], "ajar")).contains("configuration.mode: must be \"open\" or \"closed\""))
    #expect(refusal(changed(["host", "cpusOnline"], 0)).contains("host.cpusOnline: must be a whole number, not below 1"))
    #expect(refusal(changed(["levels"], [])).contains("levels: is empty"))
    #expect(refusal(changed(["levels", "0", "rounds", "0", "service", "buckets", "0"], [1, 2, 3])).contains("element 0 must be two"))
    #expect(refusal(changed(["configuration", "rate"], nil)).contains("configuration.rate: is missing"))
  }

  @Test("counts that do not agree are refused")
  func counts() {
    #expect(refusal(changed(["levels", "0", "rounds", "0", "service", "count"], 4_999)).contains("buckets count 5000 together"))
    #expect(refusal(changed(["levels", "0", "rounds", "0", "lag", "count"], 4_999)).contains("buckets count 5000 together"))
    let few: JSON = ["count": 1, "minimum": 5, "maximum": 5, "sum": 5, "buckets": [[5, 1]]]
    #expect(refusal(changed(["levels", "0", "rounds", "0", "lag"], few)).contains("lag counts 1 requests, response 5000"))
    #expect(refusal(changed(["levels", "0", "rounds", "0", "service"], few)).contains("service counts 1 latencies, response 5000"))
    #expect(refusal(changed(["configuration", "rounds"], 3)).contains("levels[0].rounds: has 2 rounds, but configuration.rounds is 3"))
    #expect(refusal(changed(["levels", "1", "level"], 4)).contains("levels must ascend"))
    #expect(refusal(changed(["levels", "0", "rounds", "0", "nanoseconds"], 0)).contains("a round takes time"))
    #expect(refusal(changed(["levels", "0", "rounds", "0", "response", "maximum"], 9_000_000_000)).contains("lie outside its buckets"))
    let turned: JSON = [[10, 2_500], [9, 2_500]]
    #expect(refusal(changed(["levels", "0", "rounds", "0", "lag", "buckets"], turned)).contains("must ascend"))
  }

  @Test("a closed round has no more latencies than ends; an open one may, when its queue grew")
  func latenciesAndEnds() {
    var result = Sample.open
    result.levels[0].rounds[0].completed = 4
    #expect(refusal(BenchResultFile.bytes(result)) == "read")
    result.configuration.mode = .closed
    #expect(refusal(BenchResultFile.bytes(result)).contains("service counts 5000 latencies of 6 requests"))
  }

  @Test("an open load without a rate is refused, unless it was looked for and not found")
  func noRate() {
    var result = Sample.searched
    result.configuration.rate = nil
    result.search?.rate = nil
    result.levels = [BenchLevel(level: 4, refusal: "all failed", rounds: [])]
    #expect(refusal(BenchResultFile.bytes(result)) == "read")
    result.search = nil
    #expect(refusal(BenchResultFile.bytes(result)).contains("configuration.rate: is missing"))
  }

  @Test("a file that is not there is told with what to give")
  func missing() {
    let error = #expect(throws: BenchResultError.self) { try BenchResultFile.read("/nowhere/r.json") }
    #expect(error?.description.contains("/nowhere/r.json: cannot read the file: No such file") == true)
  }
}
