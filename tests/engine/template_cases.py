#!/usr/bin/env python3
"""template_cases.py -- writes template_cases.json: templates, what they are given, and what Jinja makes of them.

A developer's tool: it needs jinja2, the tests do not. Run it in the source folder after changing a case:

    python3 tests/engine/template_cases.py > tests/engine/template_cases.json

Jinja is set up as transformers does. "raises" marks templates that must fail here and there; "limits" those that only we refuse.
"""
import json
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

CHAT = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "2 + 2?"}]
PARTS = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
CALLS = CHAT[1:2] + [{"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "get", "arguments": {"city": "Köln", "n": 1.5, "deep": [1, {"a": None}]}}}]},
    {"role": "tool", "content": "{\"t\": 18}"}]
TOOLS = [{"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}, "required": []}}}]

CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You help.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

LLAMA3 = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + \
message['role'] + '<|end_header_id|>

'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}\
{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>

' }}"""

# The shape of Llama 4's own: system text set apart, tools in the first user's text, calls, parts of a content.
LLAMA4 = """{{- bos_token }}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system message is put in its place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}
        {%- set system_message = messages[0]['content']|trim %}
    {%- else %}
        {%- set system_message = messages[0]['content'][0]['text']|trim %}
    {%- endif %}
    {%- set messages = messages[1:] %}
    {{- "<|header_start|>system<|header_end|>\\n\\n" }}
    {%- if tools is not none %}
        {{- "Environment: ipython\\n" }}
    {%- endif %}
    {{- system_message }}
    {{- "<|eot|>" }}
{%- endif %}
{%- if not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("There is no first message.") }}
    {%- endif %}
    {{- '<|header_start|>user<|header_end|>\\n\\n' -}}
    {{- 'Answer as {"name": ..., "parameters": ...}.' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first + "<|eot|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
    {{- '<|header_start|>' + message['role'] + '<|header_end|>\\n\\n' }}
        {%- if message['content'] is string %}
            {{- message['content'] }}
        {%- else %}
            {%- for content in message['content'] %}
                {%- if content['type'] == 'image' %}
                    {{- '<|image|>' }}
                {%- elif content['type'] == 'text' %}
                    {{- content['text'] }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- elif 'tool_calls' in message and message.tool_calls|length > 0 %}
        {{- '<|header_start|>assistant<|header_end|>\\n\\n' -}}
        {%- for tool_call in message.tool_calls %}
            {{- '{"name": "' + tool_call.function.name + '", ' }}
            {{- '"parameters": ' }}
            {{- tool_call.function.arguments | tojson }}
            {{- "}" }}
        {%- endfor %}
        {{- "<|eom|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|header_start|>ipython<|header_end|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eom|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header_start|>assistant<|header_end|>\\n\\n' }}
{%- endif %}
"""

CHAT_VARIABLES = {"messages": CHAT, "add_generation_prompt": True, "bos_token": "<|begin_of_text|>"}
V = {"s": "  a b\n", "n": 7, "x": 2.5, "yes": True, "none": None, "l": [3, 1, 2], "words": ["b", "a"], "e": [], "u": "ÄöÜ x",
     "d": {"k": "v", "z": [1]}, "rows": [{"a": 1, "b": "x"}, {"a": 2}, {"a": 0, "b": "y"}]}

CASES = [
    (CHATML, CHAT_VARIABLES), (CHATML, {"messages": CHAT[1:2], "add_generation_prompt": False}),
    (LLAMA3, CHAT_VARIABLES), (LLAMA4, CHAT_VARIABLES),
    (LLAMA4, {"messages": PARTS, "bos_token": "<b>", "add_generation_prompt": True}),
    (LLAMA4, {"messages": CALLS, "bos_token": "<b>", "tools": TOOLS, "add_generation_prompt": True}),
    (LLAMA4, {"messages": CHAT[:1] + CALLS, "bos_token": "", "tools": TOOLS}),
    # white space
    ("a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", V), ("a {%- if yes -%} b {%- endif -%} c", V),
    ("  {{ n }}  \n {# gone #}\nx\n\n", V), ("a {#- gone -#} b", V), ("{%+ if yes +%}\n x{% endif %}", V), ("x\r\ny\r\n", V),
    ("  {% set a = 1 %}  {{ a }}", V), ("a\n\n{%- set a = 1 %}\n\nb", V), ("{{ n -}}\n x", V), (" {{- n }}\n x", V),
    ("{% for i in l %}\n  {% if i > 1 %}\n{{ i }}\n  {% endif %}\n{% endfor %}\n", V), ("", V), ("\n", V), ("{{ '}}' }}%}", V),
    # values
    ("{{ s|trim }}|{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ 'xaxx'.strip('x') }}", V),
    ("{{ n + 1 }} {{ n - 1 }} {{ n * 2 }} {{ n / 2 }} {{ n // 2 }} {{ n % 4 }} {{ -n // 2 }} {{ -n % 4 }} {{ x * 2 }} {{ -x }}", V),
    ("{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none ~ yes }} {{ l + [4] }}", V), ("{{ 1.0 }} {{ 1e5 if no else 0.1 }} {{ 100000000.0 * 10 }}", V),
    ("{{ n == 7.0 }} {{ n != 7 }} {{ 1 < 2 }} {{ 'a' < 'b' }} {{ 2 >= 2 }} {{ l == [3, 1, 2] }} {{ d == {'k': 'v', 'z': [1]} }}", V),
    ("{{ 1 in l }} {{ 9 not in l }} {{ 'k' in d }} {{ 'b' in s }} {{ '' in s }} {{ not 1 in l }}", V),
    ("{{ yes and 'x' }} {{ none or 'y' }} {{ not e }} {{ 0 or e or 'z' }} {{ yes and (none or 3) }}", V),
    ("{{ 'a' if yes else 'b' }} {{ 'a' if e }}|{{ 'a' if e else 'b' if yes else 'c' }}", V),
    ("{{ l[0] }} {{ l[-1] }} {{ l[9] }} {{ d['k'] }} {{ d.z[0] }} {{ d.q }} {{ s[2] }} {{ d.q is defined }}", V),
    ("{{ l[1:] }} {{ l[:-1] }} {{ l[:1] }} {{ l[5:] }} {{ l[::-1] }} {{ s[2:5] }} {{ s[:-1]|length }} {{ l[-2:] }} {{ l[2:0:-1] }}", V),
    ("{{ [1, 'x', none, true]|tojson }} {{ {'a': 1}.a }} {{ (1, 2)[1] }} {{ (n) }} {{ {}|length }} {{ [] }}", V),
    ("{{ d|tojson }} {{ d|tojson(indent=2) }} {{ 'ä\"\\\\\n'|tojson }} {{ [0.1, 1e100, 3]|tojson if no else x|tojson }}", V),
    # filters
    ("{{ u|length }} {{ l|length }} {{ d|count }} {{ 'aB c'|upper }} {{ 'aB c'|lower }} {{ 'aB cd'|title }} {{ 'aB c'|capitalize }}", V),
    ("{{ l|first }} {{ l|last }} {{ l|reverse|list }} {{ l|join('-') }} {{ words|join }} {{ l|map('string')|join(',') }}", V),
    ("{{ q|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ n|string + 'x' }} {{ '12'|int + 1 }} {{ 2.9|int }}", V),
    ("{{ rows|map(attribute='a')|list }} {{ rows|selectattr('b')|list|length }} {{ rows|selectattr('b', 'defined')|map(attribute='b')|join }}"
     " {{ rows|rejectattr('a', 'equalto', 2)|list|length }} {{ rows|selectattr('a', 'in', [1, 2])|list|length }}", V),
    ("{{ 'a-b-c'.split('-') | tojson }} {{ 'a-b-c'.split('-', 1)|tojson }} {{ ' a  b '.split()|tojson }} {{ 'a</t>b'.split('</t>')[-1] }}", V),
    ("{{ 'abab'|replace('b', 'cc') }} {{ 'abab'.replace('a', '') }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('ab') }}", V),
    ("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|items %}{{ k }};{% endfor %}{{ d.get('q', 5) }} {{ d.keys()|join(',') }}", V),
    # tests
    ("{{ n is defined }} {{ q is not defined }} {{ q is undefined }} {{ none is none }} {{ s is string }} {{ d is mapping }} {{ l is iterable }}"
     " {{ l is sequence }} {{ n is number }} {{ x is float }} {{ yes is boolean }} {{ yes is true }} {{ n is odd }} {{ n is even }} {{ n is integer }}"
     " {{ s is mapping }} {{ n is eq 7 }} {{ n is equalto(8) }} {{ not n is defined and yes }}", V),
    # statements
    ("{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}", V),
    ("{% for i in l if i != 1 %}{{ i }}{{ loop.last }}{% endfor %}{% for i in e %}x{% else %}none{% endfor %}", V),
    ("{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}{{ range(3, 0, -1)|list }}", V),
    ("{% set a = 1 %}{% for i in l %}{% set a = 2 %}{% endfor %}{{ a }}{% if yes %}{% set a = 3 %}{% endif %}{{ a }}", V),
    ("{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}", V),
    ("{% set t %}a{{ n }}b{% endset %}{{ t|upper }}", V), ("{% if e %}a{% elif n == 7 %}b{% else %}c{% endif %}", V),
    ("{% macro f(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{{ n }}{% endmacro %}{{ f(1) }} {{ f(1, c=3) }} {{ f(1, 2, 3) }}", V),
    ("{% macro f(i) %}{{ i }}{% if i > 0 %}{{ f(i - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", V),
    ("{% for a in l %}{% for b in words %}{{ a }}{{ b }}{{ loop.index }}{% endfor %}{% endfor %}{{ loop is defined }}", V),
    ("{% generation %}x{% endgeneration %}{{ strftime_now('%Y') }}", V),
    # refused by both
    ("{{ raise_exception('no') }}", V), ("{{ q.a }}", V), ("{{ 1 + 'a' }}", V), ("{% if yes %}", V), ("{% endif %}", V), ("{{ n", V), ("{{ 1 / 0 }}", V),
    ("{% for i in 5 %}{% endfor %}", V), ("{{ 'a' | nosuch }}", V), ("{{ n is nosuch }}", V), ("{{ nosuch() }}", V), ("{# open", V), ("{{ }}", V), ("{{ 'a }}", V),
    ("{% set d.k = 1 %}", V), ("{{ [1, }}", V), ("{{ a b }}", V), ("{% frobnicate %}", V), ("{{ n < 'a' }}", V), ("{% for a, b in l %}{% endfor %}", V),
]
# Refused by us alone: too much work, depth or text.
LIMITS = [
    ("{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}", {}),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {}),
    ("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}", {}),
    ("{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}", {}),
    ("{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}"
     "{{ ns.l == ns.m }}", {}),
    ("{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}", {}),
    ("{{ " + "(" * 200 + "1" + ")" * 200 + " }}", {}),
    ("{% if 1 %}" * 200 + "{% endif %}" * 200, {}),
    ("{{ 9223372036854775807 + 1 }}", {}),
    ("{{ " + "-" * 200 + "1 }}", {}),
    ("{{ " + "not " * 200 + "1 }}", {}),
    ("{% include 'x' %}", {}), ("{% call f() %}{% endcall %}", {}), ("{{ l|sort }}", {"l": []}),
]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def render(template, variables):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: {"%Y": "2025"}[f]
    return env.from_string(template).render(**variables)


def main():
    cases = []
    for template, variables in CASES:
        case = {"template": template, "variables": variables}
        try:
            case["text"] = render(template, variables)
        except Exception as e:  # whatever Jinja says: we must refuse too
            case["raises"] = type(e).__name__
        cases.append(case)
    cases += [{"template": t, "variables": v, "limits": True} for t, v in LIMITS]
    print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
    return 0


sys.exit(main())
