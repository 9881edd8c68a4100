package import MillraceCore
package import MillraceWorkflow

/// The tenants of an engine: names to the core's numbers. Does not change.
package struct Tenants: Sendable {
  package static let maximumWeight = 1_000
  package static let maximumCount = 1_024

  private let known: [String: RunTenant]
  private let weights: [String: Int]

  /// `weights` by name. Throws `EngineError`.
  package init(_ weights: [String: Int]) throws(EngineError) {
    var weights = weights
    let standard = RunTenant.standard
    if weights[standard.name] == nil { weights[standard.name] = 1 }
    for (name, weight) in weights where !RunTenant.isName(name) || !(1...Self.maximumWeight ~= weight) {
      throw .badTenant(name, weight: weight)
    }
    if weights.count > Self.maximumCount { throw .tooManyTenants(limit: Self.maximumCount) }
    var known = [standard.name: standard]
    for name in weights.keys.sorted() where known[name] == nil { known[name] = RunTenant(name: name, number: UInt16(known.count)) }
    self.known = known
    self.weights = weights
  }

  package var count: Int { known.count }

  package func setWeights(_ scheduler: Scheduler) {
    for (name, tenant) in known { scheduler.setWeight(weights[name] ?? 1, tenant: Int(tenant.number)) }
  }

  /// nil: the one of runs that name none. Throws `EngineError.unknownTenant`.
  package func find(_ name: String?) throws(EngineError) -> RunTenant {
    let name = name ?? RunTenant.standard.name
    guard let tenant = known[name] else { throw .unknownTenant(name, known: known.keys.sorted()) }
    return tenant
  }
}
