module example.invalid/tools/hey

go 1.26.0

require (
	github.com/rakyll/hey v0.1.4
	golang.org/x/net v0.0.0-20181017193950-04a2e542c03f
	golang.org/x/text v0.3.0
)
