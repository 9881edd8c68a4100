/// What becomes of runs that go on when another version of their workflow is deployed: `version_policy` in a file.
///
/// New runs always take the version that is current when they start.
public enum VersionPolicy: String, Sendable, Hashable, CaseIterable {
  /// A run ends with the version it began with.
  case pinned
  /// A run goes over to the new version between two of its tasks: what has ended stays, what has not begun is the new version's.
  case upgradeAtStepBoundary = "upgrade-at-step-boundary"
  /// As `pinned`, and runs of the new version begin when those of the old one have ended.
  case drain
}
