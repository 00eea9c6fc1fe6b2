/* JSON Schema: what each keyword allows and what it does not, byte by byte, and what is refused
 * with which words. */
#include "guide_cases.h"

static const guide_case values[] = {
    {"{\"type\":\"null\"}", {"null"}, {"nul", "nulll", "\"null\"", "", " null"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"True", "1", "tru"}},
    {"{\"type\":\"integer\"}",
     {"0", "-1", "7", "-120", "999999999999999"},
     {"01", "-0", "1.0", "1e3", "+1", "-", "1000000000000000", "1 ", "\"1\""}},
    {"{\"type\":\"number\"}",
     {"0", "-0.5", "3.25", "1e9", "1E-3", "-12.5e+10", "123456789012345"},
     {".5", "1.", "00", "1e", "1e100", "NaN", "Infinity", "0x1"}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"abc\"", "\"\xc3\xa9\"", "\"\xf0\x9f\x98\x80\"", "\"a\\n\\u00e9\\\"\\\\\\/\"",
      "\"\\ud83d\\ude00\"", "\"a b  c\""},
     {"\"", "abc", "\"a\nb\"", "\"\\x\"", "\"\\u12\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\xff\"",
      "\"\xed\xa0\x80\"", "\"a\"b", "\"\xc3\"", "\"\\ud83dx\""}},
    {"{\"type\":[\"string\",\"null\"]}", {"null", "\"x\""}, {"1", "[]", "true"}},
    {"{\"type\":[\"integer\",\"boolean\"]}", {"1", "true"}, {"null", "1.5"}},
    {"true", {"1", "{}", "[[],{\"a\":null}]", "\"x\""}, {"", "{", "nope"}},
    {"{}",
     {"{\"a\":{\"b\":[1, 2, true]}}", "null", "[]", "[1]", "{\"\":0}", "{\"a\": 1, \"b\": 2}"},
     {"{\"a\":1,}", "[1,]", "{\"a\":1,\"a\":2}", "{a:1}", "{\"a\" :1}", "[ 1]", "{\"a\":  1}"}},
    {"{\"$schema\":\"x\",\"$id\":\"y\",\"title\":\"t\",\"description\":\"d\",\"default\":3,"
     "\"examples\":[1],\"$comment\":\"c\",\"type\":\"null\"}",
     {"null"},
     {"3"}},
};

static const guide_case strings[] = {
    {"{\"type\":\"string\",\"minLength\":2}",
     {"\"ab\"", "\"\xc3\xa9\xc3\xa9\""},
     {"\"a\"", "\"\""}},
    {"{\"type\":\"string\",\"maxLength\":2}",
     {"\"\"", "\"ab\"", "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00b\"",
      "\"\\n\\n\""},
     {"\"abc\"", "\"\\n\\n\\n\""}},
    {"{\"type\":\"string\",\"minLength\":3,\"maxLength\":3}", {"\"abc\""}, {"\"ab\"", "\"abcd\""}},
    {"{\"type\":\"string\",\"maxLength\":0}", {"\"\""}, {"\"a\""}},
    {"{\"type\":\"string\",\"maxLength\":40000}", {"\"abc\"", "\"\""}, {"\"", "abc"}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]{2,3}$\"}",
     {"\"ab\"", "\"xyz\""},
     {"\"a\"", "\"abcd\"", "\"aB\"", "\"ab\\n\""}},
    {"{\"type\":\"string\",\"pattern\":\"b+\"}",
     {"\"b\"", "\"abbc\"", "\"\\nb\""},
     {"\"ac\"", "\"\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a\"}", {"\"a\"", "\"abc\""}, {"\"ba\""}},
    {"{\"type\":\"string\",\"pattern\":\"a$\"}", {"\"a\"", "\"bca\""}, {"\"ab\""}},
    {"{\"type\":\"string\",\"pattern\":\"^(?:cat|dog)s?$\"}",
     {"\"cat\"", "\"dogs\""},
     {"\"cow\"", "\"catss\"", "\"xcat\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a|b$\"}",
     {"\"ax\"", "\"xb\"", "\"a\""},
     {"\"xax\"", "\"bx\""}},
    {"{\"type\":\"string\",\"pattern\":\"^\\\\d{3}-\\\\w+$\"}",
     {"\"123-ab_9\""},
     {"\"12-a\"", "\"123-\"", "\"123-\xc3\xa9\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[^\\\"a]$\"}",
     {"\"b\"", "\"\\n\"", "\"\\\\\"", "\"\\u0000\"", "\"\xc3\xa9\""},
     {"\"a\"", "\"\\\"\"", "\"bb\""}},
    {"{\"type\":\"string\",\"pattern\":\"^\\\\\\\\\\\"$\"}",
     {"\"\\\\\\\"\""},
     {"\"\\\\\"", "\"\\\"\""}},
    {"{\"type\":\"string\",\"pattern\":\"^.$\"}", {"\"x\"", "\"\\t\""}, {"\"\\n\"", "\"\""}},
    {"{\"type\":\"string\",\"pattern\":\"^\\\\u0041\\\\x42\\\\.\\\\s\\\\S$\"}",
     {"\"AB. x\"", "\"AB.\\tx\""},
     {"\"ABC x\"", "\"AB.x \""}},
    {"{\"type\":\"string\",\"pattern\":\"^[\\\\w.-]+@[a-z]+$\"}",
     {"\"a.b-c@d\""},
     {"\"@d\"", "\"a@\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a{2}b{1,}c{0,1}?$\"}",
     {"\"aab\"", "\"aabbbc\""},
     {"\"ab\"", "\"aac\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-f]{4}$\",\"minLength\":4,\"maxLength\":9}",
     {"\"abcd\""},
     {"\"abc\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]+$\",\"maxLength\":3}",
     {"\"a\"", "\"abc\""},
     {"\"\"", "\"abcd\"", "\"1\""}},
    {"{\"type\":\"string\",\"pattern\":\"^id-\\\\w*!$\",\"minLength\":6,\"maxLength\":8}",
     {"\"id-ab!\"", "\"id-abcd!\""},
     {"\"id-a!\"", "\"id-abcde!\""}},
    {"{\"type\":\"string\",\"pattern\":\"^\\\\S{2,}$\",\"minLength\":1,\"maxLength\":2}",
     {"\"ab\""},
     {"\"a\"", "\"abc\""}},
    {"{\"type\":\"string\",\"enum\":[\"red\",\"gr\xc3\xbcn\",\"a\\\"b\"]}",
     {"\"red\"", "\"gr\xc3\xbcn\"", "\"a\\\"b\""},
     {"\"re\"", "\"redd\"", "red"}},
};

static const guide_case formats[] = {
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2026-11-20\"", "\"2024-02-29\"", "\"2000-02-29\"", "\"0001-01-01\""},
     {"\"2026-13-01\"", "\"2026-02-29\"", "\"1900-02-29\"", "\"2026-04-31\"", "\"26-01-01\"",
      "\"2026-1-1\""}},
    {"{\"type\":\"string\",\"format\":\"time\"}",
     {"\"12:30:59Z\"", "\"00:00:00.123+02:00\"", "\"23:59:59-11:30\""},
     {"\"24:00:00Z\"", "\"12:60:00Z\"", "\"12:00:00\"", "\"1:00:00Z\"", "\"12:00:00+25:00\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2026-11-20T13:00:00Z\"", "\"2024-02-29T00:00:00.5-05:00\""},
     {"\"2026-11-20 13:00:00Z\"", "\"2026-11-31T13:00:00Z\"", "\"2026-11-20\""}},
    {"{\"type\":\"string\",\"format\":\"duration\"}",
     {"\"P1D\"", "\"PT5M\"", "\"P1Y2M3DT4H5M6S\"", "\"P2W\""},
     {"\"P\"", "\"PT\"", "\"P1H\"", "\"1D\"", "\"P1W2D\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}",
     {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567e89b12d3a456426614174000\"", "\"123e4567-e89b-12d3-a456-42661417400g\""}},
    {"{\"type\":\"string\",\"format\":\"email\"}",
     {"\"a@b.co\"", "\"first.last+tag@sub.example.org\""},
     {"\"a@b\"", "\"@b.co\"", "\"a b@c.de\"", "\".a@b.co\"", "\"a@-b.co\""}},
    {"{\"type\":\"string\",\"format\":\"hostname\"}",
     {"\"example.org\"", "\"a\"", "\"x-1.y\""},
     {"\"-a\"", "\"a-\"", "\"a..b\"", "\"\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}",
     {"\"0.0.0.0\"", "\"255.255.255.255\"", "\"192.168.1.10\""},
     {"\"256.1.1.1\"", "\"1.2.3\"", "\"01.2.3.4\"", "\"1.2.3.4.5\""}},
    {"{\"type\":\"string\",\"format\":\"ipv6\"}",
     {"\"::\"", "\"::1\"", "\"2001:db8::8a2e:370:7334\"", "\"1:2:3:4:5:6:7:8\"", "\"fe80::\""},
     {"\":\"", "\"1:2:3:4:5:6:7\"", "\"1::2::3\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8:9\""}},
    {"{\"type\":\"string\",\"format\":\"uri\"}",
     {"\"https://example.org\"", "\"http://a.b:8080/c/d?e=f#g\"", "\"ftp://x/%20\""},
     {"\"example.org\"", "\"http://\"", "\"http://a b\"", "\"http://a/%2\""}},
};

static const guide_case numbers[] = {
    {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":255}",
     {"0", "9", "10", "99", "100", "199", "249", "255"},
     {"-1", "256", "260", "300", "1000", "-0", "00"}},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":12}",
     {"-5", "-1", "0", "9", "10", "12"},
     {"-6", "13", "-10", "20", "-12"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":3,\"exclusiveMaximum\":6}",
     {"4", "5"},
     {"3", "6", "2"}},
    {"{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":3.5}", {"2", "3"}, {"1", "4"}},
    {"{\"type\":\"integer\",\"minimum\":-3.5,\"maximum\":-1.5}", {"-3", "-2"}, {"-4", "-1", "0"}},
    {"{\"type\":\"integer\",\"minimum\":1000}",
     {"1000", "1001", "9999", "999999999999999"},
     {"999", "0", "-1000"}},
    {"{\"type\":\"integer\",\"maximum\":-37}",
     {"-37", "-38", "-100", "-999999"},
     {"-36", "37", "-1"}},
    {"{\"type\":\"integer\",\"minimum\":98765,\"maximum\":123456}",
     {"98765", "99999", "100000", "123456", "119999"},
     {"98764", "123457", "9999", "200000"}},
    {"{\"type\":\"integer\",\"minimum\":1e3,\"maximum\":12e2}",
     {"1000", "1200", "1199"},
     {"999", "1201"}},
    {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":100,\"multipleOf\":25}",
     {"0", "25", "100"},
     {"5", "50.0", "125", "99"}},
    {"{\"type\":\"integer\",\"minimum\":-7,\"maximum\":7,\"multipleOf\":3}",
     {"-6", "-3", "0", "3", "6"},
     {"-7", "1", "9"}},
    {"{\"type\":\"integer\",\"multipleOf\":1}", {"5"}, {"5.5"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
     {"0", "1", "0.5", "0.999", "1.0", "0.0"},
     {"1.1", "-0.1", "2", "1.01", "1e0", "10"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}",
     {"0.5", "0.001", "0.99"},
     {"0", "1", "0.0", "1.0", "0.00"}},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"maximum\":3.75}",
     {"-2.5", "-2", "-0.1", "0", "3.75", "3.7", "3.749", "-2.49", "3"},
     {"-2.51", "3.76", "3.8", "4", "-3", "-2.6", "3.751"}},
    {"{\"type\":\"number\",\"minimum\":10.25}",
     {"10.25", "10.3", "11", "999", "10.250001"},
     {"10.2", "10", "9", "-11"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":10.25}",
     {"10.26", "10.2501", "11"},
     {"10.25", "10.250", "10"}},
    {"{\"type\":\"number\",\"maximum\":-0.5}",
     {"-0.5", "-0.51", "-1", "-100.25"},
     {"-0.4", "0", "-0.49", "0.5"}},
    {"{\"type\":\"number\",\"minimum\":2.5,\"maximum\":2.75}",
     {"2.5", "2.6", "2.75", "2.7", "2.74", "2.500"},
     {"2.4", "2.8", "2.76", "2", "3"}},
    {"{\"type\":\"number\",\"minimum\":5,\"maximum\":5}", {"5", "5.0"}, {"5.1", "4", "6"}},
    {"{\"type\":\"number\",\"multipleOf\":0.01,\"minimum\":0,\"maximum\":10}",
     {"0", "9.99", "10", "3.5", "0.07"},
     {"0.001", "10.01", "9.999"}},
    {"{\"type\":\"number\",\"multipleOf\":1}", {"3", "-4"}, {"3.5", "3.0"}},
    {"{\"minimum\":3,\"maximum\":4}", {"3", "3.5", "4"}, {"2", "5", "\"a\""}},
};

static const guide_case constants[] = {
    {"{\"const\":42}", {"42"}, {"43", "42.0", "4"}},
    {"{\"const\":{\"a\":[1,\"x\",null]}}", {"{\"a\":[1,\"x\",null]}"}, {"{}", "{\"a\":[1,\"x\"]}"}},
    {"{\"enum\":[1,\"1\",true,null,[],{\"k\":1.50}]}",
     {"1", "\"1\"", "true", "null", "[]", "{\"k\":1.50}"},
     {"2", "false", "{\"k\":1.5}"}},
    {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
    {"{\"type\":\"integer\",\"enum\":[1,2.5,3.0]}", {"1", "3.0"}, {"2.5", "3"}},
    {"{\"const\":\"\"}", {"\"\""}, {"\"a\"", ""}},
};

static const guide_case arrays[] = {
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
     {"[]", "[1]", "[1,2]", "[1, 2,3]"},
     {"[1,]", "[,1]", "[\"a\"]", "[1 ,2]", "[1,  2]", "[1"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2}",
     {"[null,null]", "[null,null,null]"},
     {"[]", "[null]"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":2}",
     {"[]", "[null]", "[null,null]"},
     {"[null,null,null]"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":1,\"maxItems\":1}",
     {"[null]"},
     {"[]", "[null,null]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]"}, {"[1]"}},
    {"{\"type\":\"array\"}", {"[]", "[1,\"a\",{}]"}, {"{}", "["}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}",
     {"[]", "[1]", "[1,\"a\"]"},
     {"[\"a\"]", "[1,\"a\",2]", "[1,2]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
     "\"minItems\":2}",
     {"[1,\"a\"]"},
     {"[]", "[1]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},"
     "\"maxItems\":3}",
     {"[]", "[1]", "[1,null]", "[1,null,null]"},
     {"[null]", "[1,null,null,null]", "[1,1]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},"
     "\"minItems\":3}",
     {"[1,null,null]", "[1,null,null,null]"},
     {"[1,null]"}},
    {"{\"type\":\"array\",\"prefixItems\":[true,true],\"items\":false,\"minItems\":1}",
     {"[1]", "[1,{}]"},
     {"[]", "[1,2,3]"}},
    {"{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}",
     {"[[true],[]]"},
     {"[true]", "1"}},
    {"{\"type\":\"array\",\"items\":{\"enum\":[1]},\"uniqueItems\":false}", {"[1,1]"}, {"[2]"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":500,\"maxItems\":600}",
     {NULL},
     {"[1,2]"}},
};

static const guide_case objects[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}"
     "},"
     "\"required\":[\"a\",\"b\"]}",
     {"{\"a\":1,\"b\":\"x\"}", "{\"a\": 1, \"b\": \"x\"}"},
     {"{\"b\":\"x\",\"a\":1}", "{\"a\":1}", "{}", "{\"a\":1,\"b\":\"x\",\"c\":1}",
      "{\"a\":1,\"a\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},"
     "\"c\":{\"type\":\"null\"}},"
     "\"required\":[\"b\"],\"additionalProperties\":false}",
     {"{\"b\":null}", "{\"a\":null,\"b\":null}", "{\"b\":null,\"c\":null}",
      "{\"a\":null,\"b\":null,\"c\":null}"},
     {"{}", "{\"a\":null}", "{\"a\":null,\"c\":null}", "{,\"b\":null}", "{\"b\":null,}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true}}",
     {"{}", "{\"a\":1}", "{\"b\":2}", "{\"a\":{},\"b\":[]}"},
     {"{\"b\":1,\"a\":1}", "{\"c\":1}"}},
    {"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}",
     {"{}"},
     {"{\"a\":1}"}},
    {"{\"type\":\"object\"}",
     {"{}", "{\"a\":1}", "{\"a\":1,\"b\":{\"a\":2}}"},
     {"{\"a\":1,\"a\":1}", "[]"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{}", "{\"x\":1}", "{\"x\":1,\"y\":2,\"\xc3\xa9\":3}"},
     {"{\"x\":\"a\"}", "{\"x\":1,\"x\":1}", "{\"\\u0041\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"}},\"required\":[\"ab\"],"
     "\"additionalProperties\":{\"type\":\"null\"}}",
     {"{\"ab\":1}", "{\"ab\":1,\"a\":null,\"abc\":null,\"b\":null}", "{\"ab\":1,\"\":null}"},
     {"{\"ab\":1,\"ab\":null}", "{\"ab\":null}", "{\"a\":null,\"ab\":1}", "{\"a\":null}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":"
     "true}",
     {"{}", "{\"a\":null}", "{\"b\":1}", "{\"a\":null,\"b\":[1]}"},
     {"{\"a\":1}", "{\"b\":1,\"a\":null}"}},
    {"{\"type\":\"object\",\"required\":[\"x\"]}",
     {"{\"x\":1}", "{\"x\":1,\"y\":2}"},
     {"{}", "{\"y\":1}", "{\"y\":1,\"x\":2}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":{\"const\":1}}}",
     {"{}", "{\"b\":1}"},
     {"{\"a\":1}"}},
    {"{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":2,\"additionalProperties\":{"
     "\"const\":0}}",
     {"{\"a\":0}", "{\"a\":0,\"b\":0}"},
     {"{}", "{\"a\":0,\"b\":0,\"c\":0}"}},
    {"{\"properties\":{\"a\\\"b\":{\"const\":1},\"n\\n\":{\"const\":2}},\"required\":[\"a\\\"b\","
     "\"n\\n\"]}",
     {"{\"a\\\"b\":1,\"n\\n\":2}"},
     {"{\"a\"b\":1}", "{\"a\\\"b\":1}"}},
    {"{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\",\"properties\":{\"l\":{"
     "\"type\":\"array\","
     "\"items\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"number\"}},\"required\":["
     "\"x\"]}}},"
     "\"required\":[\"l\"]}},\"required\":[\"o\"]}",
     {"{\"o\":{\"l\":[]}}", "{\"o\":{\"l\":[{\"x\":1.5},{\"x\":2}]}}"},
     {"{\"o\":{}}", "{\"o\":{\"l\":[{}]}}", "{\"o\":{\"l\":[{\"x\":true}]}}"}},
};

static const guide_case combined[] = {
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", {"\"a\"", "1"}, {"null", "1.5"}},
    {"{\"anyOf\":[{\"type\":\"integer\",\"minimum\":5},{\"type\":\"integer\",\"maximum\":2}]}",
     {"7", "0"},
     {"3", "4"}},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", {"\"a\"", "null"}, {"1"}},
    {"{\"oneOf\":[{\"const\":1},{\"enum\":[2,3]}]}", {"1", "2", "3"}, {"4"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"a\"},\"x\":{\"type\":"
     "\"null\"}},\"required\":[\"t\",\"x\"]},"
     "{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"b\"}},\"required\":[\"t\"]}]}",
     {"{\"t\":\"a\",\"x\":null}", "{\"t\":\"b\"}"},
     {"{\"t\":\"a\"}", "{\"t\":\"c\"}", "{\"t\":\"b\",\"x\":null}"}},
    {"{\"allOf\":[{\"type\":\"null\"}]}", {"null"}, {"1"}},
    {"{\"$defs\":{\"base\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"}},"
     "\"required\":[\"id\"]}},"
     "\"allOf\":[{\"$ref\":\"#/$defs/"
     "base\"},{\"properties\":{\"name\":{\"type\":\"string\"},\"id\":{\"type\":\"integer\"}},"
     "\"required\":[\"name\"]}]}",
     {"{\"id\":1,\"name\":\"a\"}"},
     {"{\"id\":1}", "{\"name\":\"a\"}", "{\"name\":\"a\",\"id\":1}"}},
    {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}", {"null"}, {"1"}},
    {"{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":"
     "[{\"$ref\":\"#/$defs/"
     "node\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}},\"$ref\":\"#/$defs/node\"}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2}}", "null"}},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", {"[]", "[[],[[]]]"}, {"[1]", "[[]"}},
    {"{\"type\":\"object\",\"properties\":{\"c\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}},"
     "\"required\":[\"c\"]}",
     {"{\"c\":[]}", "{\"c\":[{\"c\":[]},{\"c\":[{\"c\":[]}]}]}"},
     {"{}", "{\"c\":[{}]}"}},
    {"{\"definitions\":{\"a b/c~d\":{\"const\":7}},\"$ref\":\"#/definitions/a%20b~1c~0d\"}",
     {"7"},
     {"8"}},
    {"{\"anyOf\":[{\"$ref\":\"#/$defs/x\"},{\"$ref\":\"#/$defs/"
     "y\"}],\"$defs\":{\"x\":{\"const\":1},\"y\":{\"$ref\":\"#/$defs/x\"}}}",
     {"1"},
     {"2"}},
    {"{\"properties\":{\"p\":{\"$ref\":\"#/properties/q\"},\"q\":{\"type\":\"boolean\"}}}",
     {"{\"p\":true,\"q\":false}"},
     {"{\"p\":1}"}},
};

static const refused_case refused[] = {
    {"{\"type\":\"string\",\"contentEncoding\":\"base64\"}", COVEY_ERROR_UNSUPPORTED,
     "\"contentEncoding\""},
    {"{\"properties\":{\"a\":{\"not\":{}}}}", COVEY_ERROR_UNSUPPORTED,
     "#/properties/a: the keyword \"not\""},
    {"{\"type\":\"array\",\"uniqueItems\":true}", COVEY_ERROR_UNSUPPORTED, "\"uniqueItems\""},
    {"{\"type\":\"array\",\"contains\":{}}", COVEY_ERROR_UNSUPPORTED, "\"contains\""},
    {"{\"type\":\"object\",\"patternProperties\":{}}", COVEY_ERROR_UNSUPPORTED,
     "\"patternProperties\""},
    {"{\"type\":\"object\",\"propertyNames\":{}}", COVEY_ERROR_UNSUPPORTED, "\"propertyNames\""},
    {"{\"if\":{},\"then\":{}}", COVEY_ERROR_UNSUPPORTED, "\"if\""},
    {"{\"type\":\"object\",\"dependentRequired\":{}}", COVEY_ERROR_UNSUPPORTED,
     "\"dependentRequired\""},
    {"{\"type\":\"string\",\"nullable\":true}", COVEY_ERROR_UNSUPPORTED, "\"nullable\""},
    {"{\"allOf\":[{},{}]}", COVEY_ERROR_UNSUPPORTED, "\"allOf\""},
    {"{\"allOf\":[{\"properties\":{\"a\":{}}},{\"type\":\"string\"}]}", COVEY_ERROR_UNSUPPORTED,
     "\"type\" within allOf"},
    {"{\"allOf\":[{\"properties\":{\"a\":true}},{\"properties\":{\"a\":{\"type\":\"null\"}}}]}",
     COVEY_ERROR_UNSUPPORTED, "the property \"a\" differs"},
    {"{\"allOf\":[{\"required\":[\"x\"]},{\"properties\":{\"a\":true},\"additionalProperties\":"
     "false}]}",
     COVEY_ERROR_UNSUPPORTED, "\"additionalProperties\" within allOf"},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", COVEY_ERROR_UNSUPPORTED,
     "branches 0 and 1"},
    {"{\"oneOf\":[{\"enum\":[1,2]},{\"enum\":[2.0]}]}", COVEY_ERROR_UNSUPPORTED, "\"oneOf\""},
    {"{\"anyOf\":[{}],\"properties\":{}}", COVEY_ERROR_UNSUPPORTED, "\"properties\" stands beside"},
    {"{\"$ref\":\"#\",\"type\":\"null\"}", COVEY_ERROR_UNSUPPORTED, "\"type\" stands beside"},
    {"{\"enum\":[1],\"minimum\":0}", COVEY_ERROR_UNSUPPORTED, "\"minimum\" stands beside"},
    {"{\"const\":1,\"enum\":[1]}", COVEY_ERROR_UNSUPPORTED, "stands beside another"},
    {"{\"type\":\"string\",\"format\":\"iri\"}", COVEY_ERROR_UNSUPPORTED, "\"iri\""},
    {"{\"type\":\"string\",\"pattern\":\"^a+b+$\",\"maxLength\":5}", COVEY_ERROR_UNSUPPORTED,
     "\"maxLength\""},
    {"{\"type\":\"string\",\"pattern\":\"a\",\"maxLength\":5}", COVEY_ERROR_UNSUPPORTED,
     "\"maxLength\""},
    {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", COVEY_ERROR_UNSUPPORTED, "assertions"},
    {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", COVEY_ERROR_UNSUPPORTED, "escape"},
    {"{\"type\":\"string\",\"pattern\":\"\\\\bfoo\"}", COVEY_ERROR_UNSUPPORTED, "escape"},
    {"{\"type\":\"string\",\"pattern\":\"\\\\p{L}\"}", COVEY_ERROR_UNSUPPORTED, "escape"},
    {"{\"type\":\"string\",\"pattern\":\"a^b\"}", COVEY_ERROR_UNSUPPORTED, "anchors"},
    {"{\"type\":\"string\",\"pattern\":\"(^a)\"}", COVEY_ERROR_UNSUPPORTED, "anchors"},
    {"{\"type\":\"string\",\"pattern\":\"(a\"}", COVEY_ERROR_FORMAT, "without its )"},
    {"{\"type\":\"string\",\"pattern\":\"a)\"}", COVEY_ERROR_FORMAT, "without its ("},
    {"{\"type\":\"string\",\"pattern\":\"[a\"}", COVEY_ERROR_FORMAT, "without its ]"},
    {"{\"type\":\"string\",\"pattern\":\"*a\"}", COVEY_ERROR_FORMAT, "nothing to repeat"},
    {"{\"type\":\"string\",\"pattern\":\"a{70000}\"}", COVEY_ERROR_LIMIT, "65536"},
    {"{\"type\":\"string\",\"pattern\":\"a{65000}b{65000}c{65000}d{65000}e{65000}\"}",
     COVEY_ERROR_LIMIT, "states"},
    {"{\"type\":\"string\",\"minLength\":-1}", COVEY_ERROR_FORMAT, "minLength"},
    {"{\"type\":\"string\",\"minLength\":1.5}", COVEY_ERROR_FORMAT, "minLength"},
    {"{\"type\":\"string\",\"minLength\":100000}", COVEY_ERROR_LIMIT, "65536"},
    {"{\"type\":\"text\"}", COVEY_ERROR_FORMAT, "type"},
    {"{\"type\":[]}", COVEY_ERROR_FORMAT, "type"},
    {"{\"type\":\"integer\",\"minimum\":\"1\"}", COVEY_ERROR_FORMAT, "minimum"},
    {"{\"type\":\"integer\",\"multipleOf\":7}", COVEY_ERROR_UNSUPPORTED, "multipleOf"},
    {"{\"type\":\"number\",\"multipleOf\":0.3}", COVEY_ERROR_UNSUPPORTED, "multipleOf"},
    {"{\"type\":\"number\",\"multipleOf\":0}", COVEY_ERROR_FORMAT, "multipleOf"},
    {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", COVEY_ERROR_INVALID_ARGUMENT,
     "nothing satisfies"},
    {"{\"type\":\"number\",\"exclusiveMinimum\":5,\"maximum\":5}", COVEY_ERROR_INVALID_ARGUMENT,
     "nothing satisfies"},
    {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", COVEY_ERROR_INVALID_ARGUMENT,
     "nothing satisfies"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"items\":1}", COVEY_ERROR_FORMAT, ""},
    {"{\"type\":\"array\",\"items\":[{}]}", COVEY_ERROR_UNSUPPORTED, "prefixItems"},
    {"{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}",
     COVEY_ERROR_INVALID_ARGUMENT, "\"a\" is required"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
     COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"minProperties\":1}", COVEY_ERROR_UNSUPPORTED,
     "minProperties"},
    {"{\"type\":\"object\",\"properties\":[]}", COVEY_ERROR_FORMAT, "properties"},
    {"{\"$ref\":\"http://x/y\"}", COVEY_ERROR_UNSUPPORTED, "$ref"},
    {"{\"$ref\":\"#/$defs/none\"}", COVEY_ERROR_FORMAT, "#/$defs/none"},
    {"{\"$ref\":\"#\"}", COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", COVEY_ERROR_UNSUPPORTED,
     "left recursion"},
    {"{\"anyOf\":[]}", COVEY_ERROR_FORMAT, "anyOf"},
    {"{\"enum\":[]}", COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"false", COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"[]", COVEY_ERROR_FORMAT, "expected a schema"},
    {"{\"type\":", COVEY_ERROR_FORMAT, "schema"},
    {"", COVEY_ERROR_FORMAT, "schema"},
};

#define RUN(cases) run_cases(true, cases, sizeof cases / sizeof *cases)

static void test_values(void **state) {
    (void)state;
    assert_true(RUN(values) > 40);
}
static void test_strings(void **state) {
    (void)state;
    assert_true(RUN(strings) > 40);
}
static void test_formats(void **state) {
    (void)state;
    assert_true(RUN(formats) > 40);
}
static void test_numbers(void **state) {
    (void)state;
    assert_true(RUN(numbers) > 100);
}
static void test_constants(void **state) {
    (void)state;
    assert_true(RUN(constants) > 15);
}
static void test_arrays(void **state) {
    (void)state;
    assert_true(RUN(arrays) > 40);
}
static void test_objects(void **state) {
    (void)state;
    assert_true(RUN(objects) > 40);
}
static void test_combined(void **state) {
    (void)state;
    assert_true(RUN(combined) > 30);
}
static void test_refused(void **state) {
    (void)state;
    run_refused(true, refused, sizeof refused / sizeof *refused);
}

/* Without white space there is none. */
static void test_spaces(void **state) {
    (void)state;
    const char *schema = "{\"properties\":{\"a\":{\"type\":\"array\"}}}";
    covey_guide_options options = COVEY_GUIDE_OPTIONS_INIT;
    options.spaces = COVEY_GUIDE_SPACES_NONE;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(
        covey_guide_new_json_schema(case_runtime, schema, strlen(schema), &options, &guide, &error),
        &error);
    guide_case c = {.guide = schema};
    check_text(guide, &c, "{\"a\":[1,2,{\"b\":3}]}", true);
    check_text(guide, &c, "{\"a\": []}", false);
    check_text(guide, &c, "{\"a\":[1, 2]}", false);
    covey_guide_free(guide);
}

/* Containers within each other up to the limit, and no further. */
static void test_depth(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(covey_guide_new_json_schema(case_runtime, "{}", 2, NULL, &guide, &error), &error);
    for (int depth = 50; depth < 70; depth++) {
        char text[200] = "";
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        size_t matched;
        bool whole;
        must(covey_guide_match(guide, text, 2 * (size_t)depth, &matched, &whole, &error), &error);
        assert_int_equal(whole, depth <= COVEY__GUIDE_DEPTH_MAX);
    }
    covey_guide_free(guide);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_strings),
        cmocka_unit_test(test_formats),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_constants), cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_objects),   cmocka_unit_test(test_combined),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
