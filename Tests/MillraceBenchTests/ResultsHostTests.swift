import Testing

@testable import MillraceBench

@Suite struct ResultsHostTests {}
