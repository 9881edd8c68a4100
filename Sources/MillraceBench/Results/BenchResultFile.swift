internal import MillraceWorkflow

/// Result files: one JSON object, as docs/bench-result.md and docs/bench-result.schema.json say.
public enum BenchResultFile {
  /// Longest file that is read, bytes.
  public static let limit = JSON.maximumBytes

  /// The text of a file. Complexity: O(buckets).
  public static func bytes(_ result: BenchResult) -> [UInt8] { result.json.utf8() + [0x0A] }

  /// Reads a file and checks that its parts agree.
  public static func read(_ path: String) throws(BenchResultError) -> BenchResult {
    switch FileBytes.read(path, limit: limit) {
    case .success(let bytes): return try read(bytes, name: path)
    case .failure(let refusal):
      let advice =
        refusal.code == .limit ? "result files are smaller: measure with fewer levels or rounds" : "give the path of a result file"
      throw BenchResultError(file: path, message: "\(refusal.message); \(advice)")
    }
  }

  /// - Parameter name: stands in messages.
  public static func read(_ bytes: [UInt8], name: String) throws(BenchResultError) -> BenchResult {
    do throws(ResultFault) {
      let result = try BenchResult(ResultField(parse(bytes)))
      try BenchResultCheck.check(result)
      return result
    } catch {
      throw BenchResultError(file: name, message: error.message)
    }
  }

  private static func parse(_ bytes: [UInt8]) throws(ResultFault) -> JSON {
    guard bytes.count <= limit else { throw ResultFault("has more than \(limit) bytes; measure with fewer levels or rounds") }
    let text = bytes.last { $0 > 0x20 }
    guard let text else { throw ResultFault("is empty; write it again: millrace bench run SUITE --output FILE") }
    do throws(JSONSyntaxError) {
      return try JSON(parsing: bytes)
    } catch {
      let isBegun = bytes.first { $0 > 0x20 } == UInt8(ascii: "{")
      if isBegun, text != UInt8(ascii: "}") || isAtEnd(error, bytes) {
        throw ResultFault("ends in the middle: it was cut off when written or copied (\(error.message))")
      }
      throw ResultFault(
        "is no JSON: line \(error.line), column \(error.column): \(error.message); give a file that `millrace bench run` wrote")
    }
  }

  /// The fault lies where the text ends, not before.
  private static func isAtEnd(_ error: JSONSyntaxError, _ bytes: [UInt8]) -> Bool {
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    let last = lines.lastIndex { $0.contains { $0 > 0x20 } } ?? 0
    return error.line - 1 > last || (error.line - 1 == last && error.column > lines[last].count)
  }
}
