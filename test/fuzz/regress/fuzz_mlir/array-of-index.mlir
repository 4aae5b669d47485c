!i = index
"a.b"() {a = array<index: 1>, b = array<!i: 1>} : () -> ()
