/* The language of templates, line by line. What is expected is what Jinja 3.1.2 renders in the
 * environment that Hugging Face uses (trim_blocks, lstrip_blocks, loop controls, its own tojson),
 * with the variables below and the time 2026-02-02 02:40:00 UTC. */
#include "support/support.h"

#include "text/template.h"

#include <string.h>

static const char variables[] =
    "{\"s\": \"Stra\\u00dfe \\u00c9COLE\", \"words\": \"the quick-brown (fox) jumps\", \"n\": 7, "
    "\"f\": 2.5, \"xs\": [3, 1, 2], \"names\": [\"bob\", \"Al\", \"carl\", \"al\"], \"people\": "
    "[{\"name\": \"Bo\", \"age\": 30, \"x\": {\"k\": [5]}}, {\"name\": \"al\", \"age\": 25, \"x\": "
    "{\"k\": [6]}}, {\"name\": \"Cy\", \"age\": 30, \"x\": {\"k\": [7]}}], \"d\": {\"b\": 1, "
    "\"A\": 2, \"c\": {\"z\": null, \"y\": true}}, \"text\": \"line1\\nline2\\n\\nline4\", "
    "\"empty\": \"\", \"none\": null, \"tree\": [{\"n\": \"a\", \"c\": [{\"n\": \"b\", \"c\": "
    "[{\"n\": \"c\", \"c\": []}]}]}, {\"n\": \"d\", \"c\": []}], \"uni\": \"\\u65e5\\u672c "
    "na\\u00efve \\ud83d\\ude80\", \"q\": \"it's \\\"x\\\"\\n\\t\\\\\"}";

static const struct {
    const char *text, *expected;
} cases[] = {
    {"{{ s|upper }}|{{ s|lower }}|{{ s|capitalize }}|{{ s|title }}|{{ s.title() }}|{{ "
     "s.capitalize() }}",
     "STRASSE \xC3\x89"
     "COLE|stra\xC3\x9F"
     "e \xC3\xA9"
     "cole|Stra\xC3\x9F"
     "e \xC3\xA9"
     "cole|Stra\xC3\x9F"
     "e \xC3\x89"
     "cole|Stra\xC3\x9F"
     "e \xC3\x89"
     "cole|Stra\xC3\x9F"
     "e \xC3\xA9"
     "cole"},
    {"{{ words|title }}|{{ words.title() }}|{{ \"it's o'neil\"|title }}|{{ \"it's\".title() }}",
     "The Quick-Brown (Fox) Jumps|The Quick-Brown (Fox) Jumps|It's O'neil|It'S"},
    {"{{ \"\xCE\xA3\xCE\x91\xCE\xA3 \xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3\"|lower }}|{{ "
     "\"\xEF\xAC\x81ne \xC5\x89\"|upper }}|{{ \"\xC4\xB0\"|upper }}",
     "\xCF\x83\xCE\xB1\xCF\x82 \xCE\xBF\xCE\xB4\xCE\xBF\xCF\x82|FINE \xCA\xBCN|\xC4\xB0"},
    {"{{ 2**10 }}|{{ 2**-1 }}|{{ 2**0.5 }}|{{ (-2)**3 }}|{{ 2**3**2 }}|{{ -7 // 2 }}|{{ -7 % 3 "
     "}}|{{ 7 / 2 }}|{{ 7.0 // 2 }}",
     "1024|0.5|1.4142135623730951|-8|64|-4|2|3.5|3.0"},
    {"{{ \"%s and %d\" % (\"a\", 3) }}|{{ \"%s\" % n }}|{{ \"%05.2f|%x|%5d|%-5d|\" % (f, 255, n, "
     "n) }}|{{ \"%%|%s\" % \"x\" }}|{{ \"%e\" % 12345.678 }}",
     "a and 3|7|02.50|ff|    7|7    ||%|x|1.234568e+04"},
    {"{{ \"{} {}\".format(1, \"b\") }}|{{ \"{1}{0}\".format(\"a\", \"b\") }}|{{ "
     "\"{x}-{{}}\".format(x=5) }}",
     "1 b|ba|5-{}"},
    {"{{ \"%s-%s\"|format(\"a\", 2) }}", "a-2"},
    {"{{ text|indent }}|{{ text|indent(2, true) }}|{{ text|indent(2, blank=true) }}|{{ "
     "text|indent(\"> \") }}|{{ \"a\\nb\"|indent(width=1, first=true) }}",
     "line1\n    line2\n\n    line4|  line1\n  line2\n\n  line4|line1\n  line2\n  \n  "
     "line4|line1\n> line2\n\n> line4| a\n b"},
    {"{{ xs|sort }}|{{ xs|sort(reverse=true) }}|{{ names|sort }}|{{ "
     "names|sort(case_sensitive=true) }}|{{ names|sort(true) }}",
     "[1, 2, 3]|[3, 2, 1]|['Al', 'al', 'bob', 'carl']|['Al', 'al', 'bob', 'carl']|['carl', 'bob', "
     "'Al', 'al']"},
    {"{{ people|sort(attribute=\"age\")|map(attribute=\"name\")|join(\",\") }}|{{ "
     "people|sort(attribute=\"name\", reverse=true)|map(attribute=\"name\")|join(\",\") }}|{{ "
     "people|sort(attribute=\"x.k.0\")|map(attribute=\"x.k.0\")|list }}",
     "al,Bo,Cy|Cy,Bo,al|[5, 6, 7]"},
    {"{{ names|unique|list }}|{{ names|unique(case_sensitive=true)|list }}|{{ "
     "people|unique(attribute=\"age\")|map(attribute=\"name\")|list }}|{{ [1,1,2,1.0]|unique|list "
     "}}",
     "['bob', 'Al', 'carl']|['bob', 'Al', 'carl', 'al']|['Bo', 'al']|[1, 2]"},
    {"{% for k, g in people|groupby(\"age\") %}{{ k }}:{{ g|map(attribute=\"name\")|join(\"+\") "
     "}};{% endfor %}",
     "25:al;30:Bo+Cy;"},
    {"{{ xs|min }}|{{ xs|max }}|{{ names|min }}|{{ people|max(attribute=\"age\") }}|{{ []|max "
     "}}|{{ xs|sum }}|{{ people|sum(attribute=\"age\") }}|{{ [1.5,2]|sum(start=1) }}",
     "1|3|Al|{'name': 'Bo', 'age': 30, 'x': {'k': [5]}}||6|85|4.5"},
    {"{{ [1,2,3,4,5]|batch(2)|list }}|{{ [1,2,3,4,5]|batch(2, \"-\")|list }}|{{ "
     "[1,2,3,4,5]|slice(2)|list }}|{{ [1,2,3,4,5]|slice(3, \"x\")|list }}|{{ "
     "[1,2,3,4]|slice(2,\"x\")|list }}",
     "[[1, 2], [3, 4], [5]]|[[1, 2], [3, 4], [5, '-']]|[[1, 2, 3], [4, 5]]|[[1, 2], [3, 4], [5, "
     "'x']]|[[1, 2, 'x'], [3, 4, 'x']]"},
    {"{{ d|dictsort }}|{{ d|dictsort(true) }}|{% for k, v in "
     "{\"x\":2,\"y\":1}|dictsort(by=\"value\") %}{{ k }}{{ v }}{% endfor %}|{{ "
     "{\"x\":2,\"y\":1}|dictsort(reverse=true) }}",
     "[('A', 2), ('b', 1), ('c', {'z': None, 'y': True})]|[('A', 2), ('b', 1), ('c', {'z': None, "
     "'y': True})]|y1x2|[('y', 1), ('x', 2)]"},
    {"{{ -3|abs }}|{{ -2.5|abs }}|{{ 2.5|round }}|{{ 3.5|round }}|{{ 2.675|round(2) }}|{{ "
     "42.55|round(1,\"floor\") }}|{{ 42.51|round(1,\"ceil\") }}|{{ 3|round }}|{{ 2.5|round|int }}",
     "3|2.5|2.0|4.0|2.67|42.5|42.6|3|2"},
    {"{{ words|wordcount }}|{{ uni|wordcount }}|{{ \"\"|wordcount }}", "5|2|0"},
    {"{{ \"<a href='x'>&\\\"</a>\"|escape }}|{{ \"<\"|e }}",
     "&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;|&lt;"},
    {"[{{ \"ab\"|center(7) }}]|[{{ \"abc\"|center(8) }}]|[{{ \"abc\".ljust(5) }}]|[{{ "
     "\"abc\".rjust(5, \".\") }}]|{{ \"7\".zfill(3) }}",
     "[   ab  ]|[  abc   ]|[abc  ]|[..abc]|007"},
    {"{{ \"foo bar baz qux\"|truncate(9) }}|{{ \"foo bar baz qux\"|truncate(9, true) }}|{{ \"foo "
     "bar baz qux\"|truncate(11) }}|{{ \"foo bar baz qux\"|truncate(9, false, \"\xE2\x80\xA6\", 0) "
     "}}",
     "foo...|foo ba...|foo bar baz qux|foo bar\xE2\x80\xA6"},
    {"{{ d|tojson }}|{{ d|tojson(sort_keys=true) }}|{{ d|tojson(indent=2) }}|{{ "
     "uni|tojson(ensure_ascii=true) }}|{{ d|tojson(separators=(\",\",\":\")) }}|{{ "
     "[1,[2]]|tojson(indent=1, separators=(\", \", \":\")) }}",
     "{\"b\": 1, \"A\": 2, \"c\": {\"z\": null, \"y\": true}}|{\"A\": 2, \"b\": 1, \"c\": {\"y\": "
     "true, \"z\": null}}|{\n  \"b\": 1,\n  \"A\": 2,\n  \"c\": {\n    \"z\": null,\n    \"y\": "
     "true\n  }\n}|\"\\u65e5\\u672c na\\u00efve "
     "\\ud83d\\ude80\"|{\"b\":1,\"A\":2,\"c\":{\"z\":null,\"y\":true}}|[\n 1, \n [\n  2\n ]\n]"},
    {"{{ []|tojson(indent=2) }}|{{ {}|tojson }}|{{ 1.0|tojson }}|{{ 1e22 }}|{{ 0.00001 }}|{{ 1/3 "
     "}}|{{ q|tojson }}",
     "[]|{}|1.0|1e+22|1e-05|0.3333333333333333|\"it's \\\"x\\\"\\n\\t\\\\\""},
    {"{{ xs }}|{{ d }}|{{ names }}|{{ [none, true, 1.5, \"a'b\"] }}|{{ q|string }}|{{ [q] }}|{{ "
     "[\"'\"] }}|{{ ['\"'] }}|{{ [uni] }}",
     "[3, 1, 2]|{'b': 1, 'A': 2, 'c': {'z': None, 'y': True}}|['bob', 'Al', 'carl', 'al']|[None, "
     "True, 1.5, \"a'b\"]|it's \"x\"\n\t\\|['it\\'s "
     "\"x\"\\n\\t\\\\']|[\"'\"]|['\"']|['\xE6\x97\xA5\xE6\x9C\xAC na\xC3\xAFve \xF0\x9F\x9A\x80']"},
    {"{{ true }}|{{ none }}|{{ [true,false]|join(\",\") }}|{{ xs|string|length }}",
     "True|None|True,False|9"},
    {"{{ xs|join(\"-\") }}|{{ people|join(\",\", attribute=\"name\") }}|{{ \"abc\"|join(\".\") }}",
     "3-1-2|Bo,al,Cy|a.b.c"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, e) = [3, 4] %}{{ c + e }}", "127"},
    {"{% set x %}  hi {{ n }} {% endset %}[{{ x }}]{% set y | upper | trim %} hi {% endset %}[{{ y "
     "}}]",
     "[  hi 7 ][HI]"},
    {"{% filter upper %}a{{ n }}b{% endfilter %}|{% filter indent(2) | replace(\"x\", \"y\") "
     "%}x\nx{% endfilter %}",
     "A7B|y\n  y"},
    {"{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ "
     "m(1) }}|{{ m(1, c=5) }}|{{ m(1,2,3,4,5) }}|{{ m(a=1, z=3) }}",
     "121(){}|125(){}|123(4, 5){}|121(){'z': 3}"},
    {"{% macro box(t) %}[{{ t }}:{{ caller() }}]{% endmacro %}{% call box(\"x\") %}in {{ n }}{% "
     "endcall %}",
     "[x:in 7]"},
    {"{% macro each(l) %}{% for i in l %}{{ caller(i, loop.index) }},{% endfor %}{% endmacro %}{% "
     "call(v, k) each(xs) %}{{ k }}={{ v }}{% endcall %}",
     "1=3,2=1,3=2,"},
    {"{% macro outer() %}({{ caller() }}){% endmacro %}{% call outer() %}{% call outer() %}deep{% "
     "endcall %}{% endcall %}",
     "((deep))"},
    {"{% macro f(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(*xs) }}|{{ f(1, *[2, 3]) }}|{{ "
     "f(**{\"c\": 3, \"a\": 1, \"b\": 2}) }}|{{ f(1, **{\"c\": 9, \"b\": 8}) }}",
     "312|123|123|189"},
    {"{% for i in tree recursive %}{{ loop.depth }}{{ i.n }}{% if i.c %}({{ loop(i.c) }}){% endif "
     "%}{% endfor %}",
     "1a(2b(3c))1d"},
    {"{% for i in xs %}{{ loop.cycle(\"a\", \"b\") }}{{ loop.index }}{{ loop.revindex }}{{ "
     "loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
     "a13TrueFalse1;b22FalseFalse32;a31FalseTrue1;"},
    {"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False"},
    {"{% do 1 + 1 %}ok", "ok"},
    {"{% set ns = namespace(d, z=5) %}{{ ns.b }}{{ ns.z }}{% set ns.b = 7 %}{{ ns.b }}{{ d.b }}",
     "1571"},
    {"{{ \"abc\" is lower }}{{ \"ABC\" is upper }}{{ \"aB\" is lower }}{{ 1 is number }}{{ 1.0 is "
     "float }}{{ 4 is divisibleby 2 }}{{ 3 is odd }}{{ xs is iterable }}{{ d is mapping }}{{ \"s\" "
     "is sequence }}{{ 1 in xs }}{{ 3 is in xs }}{{ n is eq 7 }}{{ n is gt 3 }}{{ none is none "
     "}}{{ x is undefined }}",
     "TrueTrueFalseTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrue"},
    {"{{ \"a,b,,c\".split(\",\") }}|{{ \"a b  c\".split() }}|{{ \"a,b,c\".split(\",\", 1) }}|{{ "
     "\"a,b,c\".rsplit(\",\", 1) }}|{{ text.splitlines() }}|{{ \"\".split(\",\") }}|{{ "
     "\"\".split() }}",
     "['a', 'b', '', 'c']|['a', 'b', 'c']|['a', 'b,c']|['a,b', 'c']|['line1', 'line2', '', "
     "'line4']|['']|[]"},
    {"{{ \"abcabc\".find(\"c\") }}{{ \"abcabc\".rfind(\"c\") }}{{ \"abc\".find(\"z\") }}{{ "
     "\"aXbXc\".count(\"X\") }}{{ \"abc\".index(\"b\") }}|{{ uni.find(\"n\") }}",
     "25-121|3"},
    {"{{ \"prefix-x\".removeprefix(\"prefix-\") }}|{{ \"x.txt\".removesuffix(\".txt\") }}|{{ "
     "\"123\".isdigit() }}{{ \"\".isdigit() }}{{ \"ab1\".isalnum() }}{{ \"ab\".isalpha() }}{{ \" "
     "\\t\".isspace() }}{{ \"AB\".isupper() }}{{ \"ab1\".islower() }}",
     "x|x|TrueFalseTrueTrueTrueTrueTrue"},
    {"{{ \"xxhixx\".strip(\"x\") }}|{{ \"  a \".strip() }}|{{ \"ab\".startswith(\"a\") }}{{ "
     "\"ab\".startswith((\"x\", \"a\")) }}{{ \"ab\".endswith(\"b\") }}|{{ \"a-b-c\".replace(\"-\", "
     "\"+\", 1) }}",
     "hi|a|TrueTrueTrue|a+b-c"},
    {"{{ d.keys()|list }}|{{ d.values()|list }}|{{ d.items()|list }}|{{ d.get(\"b\") }}|{{ "
     "d.get(\"zz\") }}|{{ d.get(\"zz\", 5) }}|{{ d|items|list }}|{{ d|length }}|{{ d.copy() == d "
     "}}",
     "['b', 'A', 'c']|[1, 2, {'z': None, 'y': True}]|[('b', 1), ('A', 2), ('c', {'z': None, 'y': "
     "True})]|1|None|5|[('b', 1), ('A', 2), ('c', {'z': None, 'y': True})]|3|True"},
    {"{{ [1,2,3].index(2) }}{{ [1,2,1].count(1) }}", "12"},
    {"{{ uni[0] }}|{{ uni[-1] }}|{{ uni[1:4] }}|{{ uni[::-1] }}|{{ xs[::2] }}|{{ xs[-2:] }}|{{ "
     "xs[5:] }}|{{ xs[:-1] }}|{{ uni|length }}|{{ uni|first }}|{{ uni|last }}",
     "\xE6\x97\xA5|\xF0\x9F\x9A\x80|\xE6\x9C\xAC n|\xF0\x9F\x9A\x80 ev\xC3\xAF"
     "an \xE6\x9C\xAC\xE6\x97\xA5|[3, 2]|[1, 2]|[]|[3, 1]|10|\xE6\x97\xA5|\xF0\x9F\x9A\x80"},
    {"{{ people|selectattr(\"age\", \"equalto\", 30)|map(attribute=\"name\")|list }}|{{ "
     "people|rejectattr(\"age\", \"gt\", 26)|map(attribute=\"name\")|list }}|{{ "
     "people|selectattr(\"x.k\")|list|length }}|{{ xs|select(\"odd\")|list }}|{{ xs|reject(\"eq\", "
     "1)|list }}|{{ names|map(\"upper\")|list }}|{{ people|map(attribute=\"zz\", "
     "default=\"-\")|list }}",
     "['Bo', 'Cy']|['al']|3|[3, 1]|[3, 2]|['BOB', 'AL', 'CARL', 'AL']|['-', '-', '-']"},
    {"{{ \"42\"|int }}|{{ \"x\"|int }}|{{ \"x\"|int(5) }}|{{ \"3.7\"|int }}|{{ \"3.7\"|float }}|{{ "
     "\"x\"|float }}|{{ 3.9|int }}|{{ -3.9|int }}|{{ true|int }}|{{ \"0x1f\"|int(0, 16) }}|{{ "
     "\"ff\"|int(0,16) }}|{{ \"12abc\"|int }}",
     "42|0|5|3|3.7|0.0|3|-3|1|31|255|0"},
    {"{{ x|default(\"d\") }}|{{ \"\"|default(\"d\") }}|{{ \"\"|default(\"d\", true) }}|{{ "
     "none|default(\"d\") }}|{{ none|d(\"e\", boolean=true) }}",
     "d||d|None|e"},
    {"{{ 1 if false }}|{{ 1 if false else 2 }}|{{ not 1 }}|{{ 1 and 2 }}|{{ 0 or \"x\" }}|{{ 1 < 2 "
     "< 3 }}|{{ 1 < 3 < 2 }}|{{ \"a\" ~ 1 ~ none ~ true }}|{{ 1 == 1.0 }}|{{ \"1\" == 1 }}|{{ "
     "[1,2] == [1,2] }}|{{ {\"a\":1} == {\"a\":1} }}",
     "|2|False|2|x|True|False|a1NoneTrue|True|False|True|True"},
    {"{{ range(3)|list }}|{{ range(1,4)|list }}|{{ range(5,0,-2)|list }}|{% for i in range(10) "
     "%}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% "
     "endfor %}",
     "[0, 1, 2]|[1, 2, 3]|[5, 3, 1]|0134"},
    {"{% for k in d %}{{ k }}{% else %}none{% endfor %}|{% for k in [] %}x{% else %}none{% endfor "
     "%}|{% for a, b in [[1,2],[3,4]] if a > 1 %}{{ a }}{{ b }}{{ loop.length }}{% endfor %}",
     "bAc|none|341"},
    {"{{ \"ab\" * 3 }}|{{ 3 * \"ab\" }}|{{ [1] + [2] }}|{{ xs|reverse|list }}|{{ \"abc\"|reverse "
     "}}|{{ xs|first }}{{ xs|last }}",
     "ababab|ababab|[1, 2]|[2, 1, 3]|cba|32"},
    {"{{ strftime_now(\"%Y-%m-%d %H:%M:%S %b %B %a %A %j %p %I %y %%\") }}|{{ "
     "strftime_now(\"%-d/%-m\") }}",
     "2026-02-02 02:40:00 Feb February Mon Monday 033 AM 02 26 %|2/2"},
    {"{{ 'a' 'b' }}|{{ \"\\x41\\u00e9\\t\" }}|{{ '\\'' }}", "ab|A\xC3\xA9\t|'"},
    {"{{ (1, 2)|length }}|{{ (1,)[0] }}|{{ () }}", "2|1|()"},
    {"{{ d[\"c\"][\"y\"] }}|{{ d.c.y }}|{{ d.zz }}|{{ xs.0 }}|{{ d[\"b\"] + 1 }}|{{ "
     "people[0][\"name\"] }}",
     "True|True||3|2|Bo"},
    {"{{ 1.5e3 }}|{{ 10 // 3 }}|{{ 10.5 % 3 }}|{{ 1 - -1 }}|{{ +5 }}|{{ -n }}|{{ - f }}",
     "1500.0|3|1.5|2|5|-7|-2.5"},
    {"{{ \"a\\\\nb\" }}|{{ \"tab\\there\" }}|{{ \"x\" if n is defined and n > 5 else \"y\" }}",
     "a\\nb|tab\there|x"},
    {"{{ names|map(\"lower\")|unique|sort|join(\" \") }}|{{ xs|map(\"string\")|join }}|{{ "
     "[[1,2],[3]]|map(\"first\")|list }}|{{ [[1,2],[3]]|sum(start=[]) }}",
     "al bob carl|312|[1, 3]|[1, 2, 3]"},
};

static void test_language(void **state) {
    (void)state;
    covey__env env;
    covey__arena arena;
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    covey__env_init(&env);
    covey__arena_init(&arena, &env, 1 << 20);
    assert_int_equal(covey__json_parse(&arena, variables, sizeof variables - 1,
                                       COVEY__JSON_LIMITS_DEFAULT, &input.variables, NULL),
                     COVEY_OK);
    input.now_ms = 1770000000000;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__template *compiled;
        covey__rendered out;
        covey_error error = {0};
        covey_status status =
            covey__template_compile(&env, cases[i].text, strlen(cases[i].text), &compiled, &error);
        if (status == COVEY_OK) {
            status = covey__template_render(compiled, &input, &out, &error);
        }
        if (status != COVEY_OK) {
            fail_msg("%s: %s", cases[i].text, error.message);
        }
        if (strcmp(out.text.size ? out.text.data : "", cases[i].expected) != 0) {
            fail_msg("%s\n  gives    %s\n  expected %s", cases[i].text,
                     out.text.size ? out.text.data : "", cases[i].expected);
        }
        covey__rendered_free(&out);
        covey__template_free(compiled);
    }
    covey__arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
