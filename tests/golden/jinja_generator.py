"""Random Jinja expressions and templates, from a seed. Half of the operands have the type that their place wants; the
others are of any type, so that errors are compared too."""
import random

CONTEXT = {
    "s": "Hello, World",
    "u": "台北 é𠮷ß 'q\" Σας",
    "w": "  pad\tded\n two \n",
    "e": "",
    "n": 7,
    "z": 0,
    "m": -3,
    "f": 2.5,
    "g": -0.125,
    "yes": True,
    "no": False,
    "nil": None,
    "xs": [3, 1, 2],
    "ss": ["b", "A", "c", "a", "B"],
    "mixed": [1, "1", None, True, 2.0, [], {}],
    "rows": [{"k": "x", "v": 2, "w": {"d": 1}}, {"k": "Y", "v": 1, "w": {"d": 3}}, {"k": "x", "v": 3}],
    "d": {"a": 1, "b": [1, 2], "items": "own", "c d": None, "鍵": "值"},
    "deep": {"x": {"y": [{"z": "end"}]}},
}
STRINGS = ["'a'", "'Hello'", "'x y z'", "''", "' t '", "'台灣'", "'a,b,,c'", "'%s'", "'{}'", "'it\\'s'", '"q\\"d"', "'l1\\nl2\\n\\nl3'",
           "'ǅ ﬁ ΑΣ'", "'12'", "'-3.5'", "'1e3'", "'0x1F'", "'<b>&'", "'\\u00e9\\x41\\t'", "'A1_b'", "'abcabc'", "'é\U00020bb7z'"]
TESTS = ["odd", "even", "defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "lower", "upper", "string",
         "mapping", "number", "sequence", "iterable", "callable", "filter", "test"]
TESTS_1 = ["divisibleby", "eq", "ne", "equalto", "gt", "ge", "lt", "le", "in", "sameas", "greaterthan", "lessthan"]
CASE_METHODS = ["upper", "lower", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines",
                "isalpha", "isdigit", "isspace", "isalnum", "isupper", "islower", "isnumeric", "isdecimal", "isascii", "isprintable"]
SPECS = ["", ":>8", ":<6", ":^7", ":*^9", ":05", ":+d", ":x", ":#x", ":,", ":.2f", ":08.3f", ":e", ":g", ":%", ":b", ":_", ":>{}", "!r", "!s:>9", ":.3",
         ":c", ":=+6", ":d", ":n"]
PERCENTS = ["%s", "%d", "%5d", "%-5d|", "%05d", "%+d", "%x", "%#o", "%.2f", "%8.3f", "%e", "%g", "%r", "%10s", "%-10s|", "%.2s", "%%", "%c", "%i", "% d",
            "%X", "%5.1f%%", "%(a)s", "%*d"]


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, *options):
        return self.r.choice(options)

    # ---- expressions by the type they should have

    def any(self, depth):
        return self.pick(self.int, self.float, self.str, self.str, self.list, self.dict, self.bool, self.atom)(depth)

    def want(self, kind, depth):
        """Mostly of the wanted type."""
        return self.any(depth) if self.r.random() < 0.12 else kind(depth)

    def atom(self, depth):
        return self.pick("none", "nope", "True", "false", *CONTEXT)

    def int(self, depth):
        r = self.r
        if depth <= 0:
            return self.pick("0", "1", "2", "3", "7", "-1", "10", "1_000", "0x1f", "n", "z", "m", "yes", str(r.randint(-20, 20)))
        a = lambda: self.want(self.int, depth - 1)
        return self.pick(
            lambda: f"({a()} {self.pick('+', '-', '*', '//', '%')} {a()})",
            # Not "-2 ** n": jinja2 folds -2 to a literal and then emits Python code in which ** binds tighter.
            lambda: f"({self.pick('n', 'm', 'z', '2', '(xs|sum)')} ** {self.pick('0', '1', '2', '3', '5', '40')})",
            lambda: f"-{a()}",
            lambda: f"{self.want(self.seq, depth - 1)}|{self.pick('length', 'count')}",
            lambda: f"{self.want(self.str, depth - 1)}.{self.pick('find', 'rfind', 'count', 'index')}({self.want(self.str, depth - 1)})",
            lambda: f"({self.want(self.str, depth - 1)})|int{self.pick('', '(5)', '(0, 16)', '(base=8)', '(default=9)')}",
            lambda: f"({self.want(self.float, depth - 1)})|{self.pick('int', 'round|int', 'abs')}",
            lambda: f"{self.want(self.list, depth - 1)}|{self.pick('sum', 'first', 'last', 'min', 'max')}",
            lambda: f"({a()} if {self.want(self.bool, depth - 1)} else {a()})",
            lambda: f"({self.want(self.str, depth - 1)})|wordcount",
            lambda: f"(rows|sum(attribute='v'))",
        )()

    def float(self, depth):
        if depth <= 0:
            return self.pick("1.5", "0.1", "2.0", "-0.5", "1e3", "1.5e-7", "f", "g", "123456.789", "1e16", "1e15", "0.30000000000000004", "1e-5", "3.14159")
        a = lambda: self.want(self.pick(self.float, self.int), depth - 1)
        return self.pick(
            lambda: f"({a()} {self.pick('+', '-', '*', '/', '//', '%')} {a()})",
            lambda: f"({self.want(self.float, depth - 1)})|round({self.pick('', '0', '1', '2', '-1', '3')})",
            lambda: f"({self.want(self.float, depth - 1)})|round({self.pick('1', '2', '0')}, {self.pick(chr(39) + 'ceil' + chr(39), chr(39) + 'floor' + chr(39))})",
            lambda: f"({a()} / {a()})",
            lambda: f"({self.want(self.str, depth - 1)})|float{self.pick('', '(1.5)')}",
            lambda: f"({self.want(self.float, depth - 1)})|abs",
            lambda: f"({self.pick('f', 'g', '2.25')} ** {self.pick('2', '0.5', '-1', 'n')})",
        )()

    def str(self, depth):
        if depth <= 0:
            return self.pick(*STRINGS, "s", "u", "w", "e")
        a = lambda: self.want(self.str, depth - 1)
        i = lambda: self.pick("", "", "0", "1", "2", "-1", "-2", "5", "100", "-100", self.want(self.int, depth - 1))
        return self.pick(
            lambda: f"({a()} + {a()})",
            lambda: f"({a()} ~ {self.any(depth - 1)} ~ {a()})",
            lambda: f"({a()} * {self.pick('0', '1', '2', '3', '-1')})",
            lambda: f"{self.paren(a())}[{i()}:{i()}]",
            lambda: f"{self.paren(a())}[{i()}:{i()}:{self.pick('1', '2', '-1', '-2', '3', '')}]",
            lambda: f"{self.paren(a())}[{self.want(self.int, depth - 1)}]",
            lambda: f"{self.paren(a())}.{self.pick(*CASE_METHODS[:9])}()",
            lambda: f"{self.paren(a())}.{self.pick('strip', 'lstrip', 'rstrip')}({a()})",
            lambda: f"{self.paren(a())}.replace({a()}, {a()}{self.pick('', ', 1', ', 0', ', -1')})",
            lambda: f"{self.paren(a())}.{self.pick('center', 'ljust', 'rjust')}({self.pick('3', '9', '20')}{self.pick('', ', ' + chr(39) + '*' + chr(39))})",
            lambda: f"{self.paren(a())}.zfill({self.pick('3', '9')})",
            lambda: f"{self.paren(a())}.{self.pick('removeprefix', 'removesuffix')}({a()})",
            lambda: f"{self.paren(a())}.expandtabs({self.pick('', '4')})",
            lambda: f"{self.paren(a())}.join({self.want(self.list, depth - 1)})",
            lambda: f"({a()})|{self.pick('upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'reverse', 'striptags', 'urlencode', 'forceescape')}",
            lambda: f"({self.any(depth - 1)})|{self.pick('string', 'tojson', 'upper', 'trim', 'tojson(indent=2)', 'tojson(sort_keys=true)', 'tojson(ensure_ascii=true)')}",
            lambda: f"({self.any(depth - 1)})|tojson(separators=(',', ':'))",
            lambda: f"({a()})|replace({a()}, {a()}{self.pick('', ', 1', ', count=2')})",
            lambda: f"({a()})|trim({a()})",
            lambda: f"({a()})|indent({self.pick('', '2', '2, true', '1, true, true', 'first=true', chr(39) + '>' + chr(39))})",
            lambda: f"({a()})|truncate({self.pick('3', '5', '8')}, {self.pick('true', 'false')}, {self.pick(chr(39) * 2, chr(39) + '..' + chr(39))}{self.pick('', ', 0', ', leeway=1')})",
            lambda: f"({a()})|center({self.pick('5', '12', '13')})",
            lambda: f"({self.want(self.list, depth - 1)})|join({self.pick('', a(), a())})",
            lambda: f"(rows|join({a()}, attribute='k'))",
            lambda: f"({a()} if {self.want(self.bool, depth - 1)} else {a()})",
            lambda: f"({a()} if {self.want(self.bool, depth - 1)})",
            lambda: f"({self.any(depth - 1)}|default({self.any(depth - 1)}{self.pick('', ', true')}))",
            lambda: self.percent(depth),
            lambda: self.format(depth),
        )()

    def paren(self, text):
        return text if text.isidentifier() else f"({text})"

    def percent(self, depth):
        parts = [self.pick(*PERCENTS[:-2]) for _ in range(self.r.randint(1, 3))]
        values = [self.pick(self.int, self.float, self.str, self.any)(depth - 1) for p in parts if p != "%%"]
        if self.r.random() < 0.1:
            return f"('{self.pick(*PERCENTS)} %(a)s' % d)"
        joined = ", ".join(values)
        if self.r.random() < 0.4:
            return f"('{' '.join(parts)}'|format({joined}))"
        return f"('{' '.join(parts)}' % ({joined},))" if values else f"('{' '.join(parts)}' % ())"

    def format(self, depth):
        parts = [self.pick(*SPECS) for _ in range(self.r.randint(1, 3))]
        values = [self.pick(self.int, self.float, self.str, self.any)(depth - 1) for _ in parts]
        if any("{" in p for p in parts):
            values.append(self.pick("5", "9"))
            parts = [":>{}"]
            values = values[:1] + ["12"]
        text = " ".join("{" + p + "}" for p in parts)
        return self.pick(
            f"'{text}'.format({', '.join(values)})",
            f"'{{0}} {{0!r}} {{k}}'.format({values[0]}, k={values[-1]})",
            f"'{{0.a}} {{0[b][1]}} {{{{}}}}'.format(d)",
        )

    def bool(self, depth):
        if depth <= 0:
            return self.pick("true", "false", "yes", "no", "none", "nope", "z", "e", "xs")
        a = lambda: self.any(depth - 1)
        b = lambda: self.want(self.bool, depth - 1)
        num = lambda: self.want(self.pick(self.int, self.float), depth - 1)
        text = lambda: self.want(self.str, depth - 1)
        return self.pick(
            lambda: f"({num()} {self.pick('<', '<=', '>', '>=', '==', '!=')} {num()})",
            lambda: f"({num()} {self.pick('<', '<=')} {num()} {self.pick('<', '>=', '==')} {num()})",
            lambda: f"({text()} {self.pick('<', '<=', '>', '>=', '==', '!=')} {text()})",
            lambda: f"({a()} {self.pick('==', '!=')} {a()})",
            lambda: f"({a()} {self.pick('in', 'not in')} {self.want(self.seq, depth - 1)})",
            lambda: f"({text()} {self.pick('in', 'not in')} {text()})",
            lambda: f"({b()} {self.pick('and', 'or')} {b()})",
            lambda: f"(not {b()})",
            lambda: f"({a()} is {self.pick('', 'not ')}{self.pick(*TESTS)})",
            lambda: f"({a()} is {self.pick('', 'not ')}{self.pick(*TESTS_1)}({a()}))",
            lambda: f"({num()} is divisibleby {self.pick('2', '3', 'z')})",
            lambda: f"{self.paren(text())}.{self.pick('startswith', 'endswith')}({self.pick(text(), text(), '(' + text() + ', ' + text() + ')')})",
            lambda: f"{self.paren(text())}.{self.pick(*CASE_METHODS[12:])}()",
        )()

    def seq(self, depth):
        return self.pick(self.list, self.list, self.str, self.dict, self.range)(depth)

    def range(self, depth):
        return f"range({', '.join(self.pick('0', '1', '3', '5', '-2', '10') for _ in range(self.r.randint(1, 3)))})"

    def list(self, depth):
        if depth <= 0:
            return self.pick("xs", "ss", "mixed", "rows", "[]", "[1, 2]", "('a', 'b')", "(1,)", "['x', 2, none]", "range(3)", "()")
        a = lambda: self.want(self.list, depth - 1)
        i = lambda: self.pick("", "", "0", "1", "-1", "2", "-9", "9")
        return self.pick(
            lambda: f"[{', '.join(self.any(depth - 1) for _ in range(self.r.randint(0, 3)))}]",
            lambda: f"({a()} + {a()})",
            lambda: f"({a()} * {self.pick('0', '1', '2')})",
            lambda: f"{self.paren(a())}[{i()}:{i()}{self.pick('', ':2', ':-1')}]",
            lambda: f"({a()}|{self.pick('list', 'reverse|list', 'sort', 'unique|list', 'sort(reverse=true)', 'sort(case_sensitive=true)')})",
            lambda: f"({self.want(self.seq, depth - 1)}|list)",
            lambda: f"({a()}|map({self.pick(*[chr(39) + x + chr(39) for x in ['upper', 'string', 'length', 'int', 'float', 'trim', 'first', 'tojson', 'abs']])})|list)",
            lambda: f"({a()}|{self.pick('select', 'reject')}({self.pick('', *[chr(39) + x + chr(39) for x in TESTS])})|list)",
            lambda: f"({a()}|{self.pick('select', 'reject')}('{self.pick(*TESTS_1)}', {self.any(0)})|list)",
            lambda: f"(rows|map(attribute='{self.pick('k', 'v', 'w', 'w.d', 'nope')}'{self.pick('', ', default=0')})|list)",
            lambda: f"(rows|{self.pick('selectattr', 'rejectattr')}('{self.pick('k', 'v', 'w')}'{self.pick('', ', ' + chr(39) + 'defined' + chr(39), ', ' + chr(39) + 'eq' + chr(39) + ', ' + self.any(0))})|list)",
            lambda: f"(rows|sort(attribute='{self.pick('k', 'v', 'k,v', 'v,k')}'{self.pick('', ', reverse=true')})|map(attribute='v')|list)",
            lambda: f"(rows|groupby('{self.pick('k', 'v')}'{self.pick('', ', case_sensitive=true')})|list)",
            lambda: f"(rows|{self.pick('min', 'max')}(attribute='{self.pick('k', 'v')}')).values()|list",
            lambda: f"({a()}|{self.pick('batch', 'slice')}({self.pick('1', '2', '3')}{self.pick('', ', 0')})|list)",
            lambda: f"({self.want(self.dict, depth - 1)}|{self.pick('dictsort', 'items|list', 'list', 'dictsort(false, ' + chr(39) + 'value' + chr(39) + ')', 'dictsort(reverse=true)')})",
            lambda: f"({self.want(self.dict, depth - 1)}).{self.pick('items', 'keys', 'values')}()|list",
            lambda: f"{self.paren(self.want(self.str, depth - 1))}.{self.pick('split', 'rsplit')}({self.pick('', chr(39) + ',' + chr(39), self.want(self.str, depth - 1))}{self.pick('', '')})",
            lambda: f"{self.paren(self.want(self.str, depth - 1))}.{self.pick('split', 'rsplit')}({self.pick('none', chr(39) + ' ' + chr(39), chr(39) + 'l' + chr(39))}, {self.pick('0', '1', '2', '-1')})",
            lambda: f"{self.paren(self.want(self.str, depth - 1))}.{self.pick('partition', 'rpartition')}({self.want(self.str, depth - 1)})",
            lambda: f"{self.paren(self.want(self.str, depth - 1))}.splitlines({self.pick('', 'true')})",
        )()

    def dict(self, depth):
        if depth <= 0:
            return self.pick("d", "deep", "{}", "{'a': 1}", "rows[0]", "{1: 'x', 'b': none}")
        pair = lambda: f"{self.pick(self.str(0), self.int(0), self.any(depth - 1))}: {self.any(depth - 1)}"
        return self.pick(
            lambda: "{" + ", ".join(pair() for _ in range(self.r.randint(0, 3))) + "}",
            lambda: f"dict({self.pick('', self.want(self.dict, depth - 1) + ', ')}a={self.any(depth - 1)})",
            lambda: f"{self.paren(self.want(self.dict, depth - 1))}.copy()",
            lambda: "deep.x",
        )()

    def access(self, depth):
        base = self.paren(self.any(depth - 1))
        return self.pick(
            lambda: f"{base}.{self.pick('a', 'items', 'k', 'nope', 'upper', 'x', 'append', '__class__', '0')}",
            lambda: f"{base}[{self.any(depth - 1)}]",
            lambda: f"d.get({self.any(depth - 1)}{self.pick('', ', ' + self.any(0))})",
            lambda: f"deep.x.y[{self.pick('0', '-1', '1')}].z",
            lambda: f"{base}.{self.pick('items', 'append', 'pop', 'update', 'get', 'keys', 'index', 'count')}({self.pick('', '1')})",
            lambda: f"({base}|attr('{self.pick('a', 'upper', 'get')}')) is defined",
            lambda: f"{base}|first",
            lambda: f"{base}|last",
        )()

    def expression(self):
        depth = self.pick(1, 1, 2, 2, 3)
        return self.pick(self.any, self.any, self.any, self.access)(depth)

    # ---- templates

    def text(self):
        return self.pick("x", " ", "\n", "  \n", "台", "\n  ", "a\nb", "", "\t")

    def open(self):
        return self.pick("{%", "{%", "{%-", "{%+")

    def close(self):
        return self.pick("%}", "%}", "-%}", "+%}")

    def tag(self, body):
        return f"{self.open()} {body} {self.close()}"

    def body(self, depth, in_loop=False):
        return "".join(self.text() + self.statement(depth, in_loop) for _ in range(self.r.randint(1, 3))) + self.text()

    def name(self):
        return self.pick("p", "q", "n", "xs", "s")

    def statement(self, depth, in_loop):
        show = lambda e: self.pick("{{ ", "{{- ", "{{") + e + self.pick(" }}", " -}}", "}}")
        if depth <= 0:
            return self.pick(
                lambda: show(self.any(1)),
                lambda: show(self.name()),
                lambda: self.pick("{# c #}", "{#- c -#}", "{#+ c\n+#}\n"),
                lambda: self.tag(f"set {self.name()} = {self.any(1)}"),
                lambda: self.tag("raw") .replace("+%}", "%}") + "{{ }}" + self.tag("endraw"),
            )()
        inner = lambda loop=in_loop: self.body(depth - 1, loop)
        value = lambda: self.any(1)
        loop_part = lambda: show("loop." + self.pick("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem",
                                                      "depth", "cycle('a', 'b')", "changed(q)", "depth0"))
        return self.pick(
            lambda: self.statement(0, in_loop),
            lambda: self.tag(f"if {value()}") + inner() + self.tag(f"elif {value()}") + inner() + self.tag("else") + inner() + self.tag("endif"),
            lambda: self.tag(f"if {value()}") + inner() + self.tag("endif"),
            lambda: self.tag(f"for q in {self.want(self.seq, 1)}{self.pick('', '', ' if ' + self.pick('q', 'q != 1', 'q is string', 'loop is defined'))}") + inner(True) + loop_part()
            + self.pick("", self.tag("if q == 2") + self.tag(self.pick("break", "continue")) + self.tag("endif")) + inner(True)
            + self.pick("", self.tag("else") + inner()) + self.tag("endfor"),
            lambda: self.tag("for p, q in " + self.pick("d.items()", "d|items", "[[1, 2], [3, 4]]", "rows|groupby('k')", "d|dictsort", "xs")) + inner(True) + loop_part() + self.tag("endfor"),
            lambda: self.tag("for r in deep.x.y recursive") + show("r.z") + self.tag("if loop.depth < 3") + show("loop([{'z': loop.depth}])") + self.tag("endif") + inner(True) + self.tag("endfor"),
            lambda: self.tag("set ns = namespace(c=0, t='')") + self.tag("for q in xs if ns.c < 3") + self.tag("set ns.c = ns.c + q") + self.tag("set ns.t = ns.t ~ q") + inner(True)
            + self.tag("endfor") + show("ns.c") + show("ns.t"),
            lambda: self.tag(f"set {self.name()}{self.pick('', ' | upper', ' | trim | length')}") + inner() + self.tag("endset") + show(self.name()),
            lambda: self.tag(f"set p, q = {self.pick('1, 2', 'xs[:2]', chr(39) + 'ab' + chr(39), value())}") + show("p") + show("q"),
            lambda: self.tag(f"with p = {value()}, q = p") + inner() + self.tag("endwith"),
            lambda: self.tag(f"filter {self.pick('upper', 'trim', 'replace(' + chr(39) + 'a' + chr(39) + ', n)', 'indent(2)|title')}") + inner() + self.tag("endfilter"),
            lambda: self.tag(f"macro f(p, q={value()}, r=p)") + show("p") + show("q") + show("r") + self.pick("", show("varargs")) + self.pick("", show("kwargs"))
            + self.body(depth - 1) + self.tag("endmacro") + show(f"f({self.pick('1', '1, 2', 'q=3', '1, r=2', '', '1, 2, 3, 4', 'p=1, z=2', '*xs', '**{' + chr(39) + 'p' + chr(39) + ': 5}')})"),
            lambda: self.tag("macro g(p)") + show("caller(p)") + self.tag("endmacro") + self.tag(f"call{self.pick('(q)', '(q=1)', '')} g({value()})") + show("q") + self.body(depth - 1) + self.tag("endcall"),
            lambda: self.tag("generation") + self.body(depth - 1) + self.tag("endgeneration"),
        )()

    def template(self):
        return self.body(self.pick(1, 2, 2))
