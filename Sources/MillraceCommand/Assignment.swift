internal import ArgumentParser
internal import Millrace

/// `name=value`, as `--param` and `--set` take it.
struct Assignment: Equatable {
  /// Bytes of one assignment: what a command line carries at most on Linux.
  static let limit = 128 << 10

  var name: String
  var value: String

  @Sendable static func parse(_ text: String) throws -> Assignment {
    guard let equals = text.firstIndex(of: "=") else { throw ValidationError("'\(text)' has no '=': write NAME=VALUE") }
    guard equals != text.startIndex else { throw ValidationError("'\(text)' has no name: write NAME=VALUE") }
    guard text.utf8.count <= limit else { throw ValidationError("'\(text.prefix(40))...' has more than \(limit) bytes: give it by a file") }
    return Assignment(name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
  }

  /// The value as JSON where it is JSON (`3`, `true`, `["a"]`, `"text"`), else as text.
  var json: JSON {
    do throws(JSONSyntaxError) {
      return try JSON(parsing: value)
    } catch {
      return .string(value)
    }
  }

  /// As text, where text is asked for: `3` is "3". A JSON text, in its quotes, is what it stands for.
  var jsonText: JSON {
    let json = json
    return json.string == nil ? .string(value) : json
  }

  /// - Throws: `ValidationError` if a name is given twice.
  static func table<Value>(_ assignments: [Assignment], option: String, _ value: (Assignment) -> Value) throws -> [String: Value] {
    var result: [String: Value] = [:]
    for assignment in assignments {
      guard result.updateValue(value(assignment), forKey: assignment.name) == nil else {
        throw ValidationError("\(option) \(assignment.name) is given twice")
      }
    }
    return result
  }
}
