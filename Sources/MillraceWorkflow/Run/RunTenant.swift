/// Whose work a run is: tenants of an engine share its slots by weight.
public struct RunTenant: Sendable, Hashable {
  /// `[A-Za-z0-9._-]{1,128}`.
  public let name: String
  /// In the core.
  public let number: UInt16

  /// Neither is checked here; an engine numbers its tenants itself.
  public init(name: String, number: UInt16) {
    self.name = name
    self.number = number
  }

  /// `[A-Za-z0-9._-]{1,128}`.
  public static func isName(_ name: String) -> Bool { Identifier.isId(name) }

  /// Of runs that name none.
  public static let standard = RunTenant(name: "default", number: 0)
}
