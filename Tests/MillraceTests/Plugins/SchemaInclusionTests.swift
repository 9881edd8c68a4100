import Testing

@testable import Millrace

/// Whether a schema accepts all that another one does.
@Suite struct SchemaInclusionTests {
  @Test(
    "a schema that accepts all that the old one does is told from one that may not",
    arguments: [
      // old, new, nil or why the new one breaks
      (#"{"type":"object"}"#, #"{"type":"object","description":"new words"}"#, nil),
      (#"{"type":"object"}"#, "{}", nil),
      (#"{"type":"object"}"#, "true", nil),
      ("{}", #"{"type":"object"}"#, "the type was any"),
      (#"{"type":["object","null"]}"#, #"{"type":"object"}"#, "the type is no longer 'null'"),
      (#"{"type":"integer"}"#, #"{"type":"number"}"#, nil),
      (#"{"type":"number"}"#, #"{"type":"integer"}"#, "the type is no longer 'number'"),
      (#"{"enum":["a","b"]}"#, #"{"enum":["b","c","a"]}"#, nil),
      (#"{"enum":["a","b"]}"#, #"{"enum":["a"]}"#, #""b" is no longer one of the values"#),
      (#"{"const":1}"#, #"{"enum":[1,2]}"#, nil),
      (#"{"required":["a","b"]}"#, #"{"required":["b"]}"#, nil),
      (#"{"required":["a"]}"#, #"{"required":["a","b"]}"#, "'b' is required"),
      (#"{"minimum":1,"maxLength":4}"#, #"{"minimum":0.5,"maxLength":5}"#, nil),
      (#"{"minimum":1}"#, #"{"minimum":2}"#, "'minimum' is 2, it was 1"),
      (#"{"maximum":1}"#, #"{"maximum":0}"#, "'maximum' is 0, it was 1"),
      ("{}", #"{"maxItems":3}"#, "'maxItems' is new"),
      (#"{"pattern":"a"}"#, #"{"pattern":"b"}"#, "'pattern' is another one"),
      (#"{"pattern":"a"}"#, "{}", nil),
      // Closed objects.
      (
        #"{"properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
        #"{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"additionalProperties":false}"#, nil
      ),
      (
        #"{"properties":{"a":{},"b":{}},"additionalProperties":false}"#, #"{"properties":{"a":{}},"additionalProperties":false}"#,
        "'b' is no longer allowed"
      ),
      (
        #"{"properties":{"a":{}}}"#, #"{"properties":{"a":{}},"additionalProperties":false}"#,
        "members that it does not name are no longer allowed"
      ),
      // Open ones: what was anything may be a text only now.
      (#"{"properties":{"a":{}}}"#, #"{"properties":{"a":{},"b":{"type":"string"}}}"#, "the type of 'b' was any"),
      (#"{"properties":{"a":{},"b":{"type":"string"}}}"#, #"{"properties":{"a":{}}}"#, nil),
      (
        #"{"properties":{"a":{"properties":{"x":{"minimum":1}}}}}"#, #"{"properties":{"a":{"properties":{"x":{"minimum":3}}}}}"#,
        "'minimum' of 'a.x' is 3, it was 1"
      ),
      (#"{"items":{"type":"string"}}"#, #"{"items":{"type":"null"}}"#, "the type of '[]' is no longer 'string'"),
      // What is not followed must be equal.
      (#"{"if":{"type":"string"},"then":{"minLength":1}}"#, #"{"then":{"minLength":1},"if":{"type":"string"},"title":"t"}"#, nil),
      (#"{"if":{"type":"string"},"then":{"minLength":1}}"#, #"{"then":{"minLength":1}}"#, "'then' is not followed, and the schemas differ"),
      (#"{"oneOf":[{"required":["a"]}]}"#, #"{"oneOf":[{"required":["b"]}]}"#, "'oneOf' is another one"),
      (#"{"oneOf":[{"required":["a"]}],"type":"object"}"#, #"{"oneOf":[{"required":["a"]}]}"#, nil),
      ("{}", "false", "the schema is another one"),
      ("false", #"{"type":"null"}"#, nil),
    ] as [(String, String, String?)])
  func compares(_ old: String, _ new: String, _ reason: String?) throws {
    #expect(try SchemaInclusion.obstacle(JSON(parsing: new), accepting: JSON(parsing: old)) == reason)
  }
}
