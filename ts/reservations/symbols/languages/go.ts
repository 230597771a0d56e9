/** Go. */
import type { LanguageRules } from '../language.js';

const owner = `[
  (type_identifier) @owner
  (pointer_type (type_identifier) @owner)
  (generic_type type: (type_identifier) @owner)
  (pointer_type (generic_type type: (type_identifier) @owner))
]`;

/** A line with several names has a symbol for each of them. */
function variables(kind: string, within: (spec: string) => string): string {
  const specs = [
    `(${kind} . name: (identifier) @name . type: (_)) @symbol.variable`,
    `(${kind} . name: (identifier) @name . value: (_)) @symbol.variable`,
    `(${kind} . name: (identifier) @name .) @symbol.variable`,
    `(${kind} name: (identifier) @name @symbol.variable . name: (identifier))`,
    `(${kind} name: (identifier) . name: (identifier) @name @symbol.variable)`,
  ];
  return specs.map((spec) => `(source_file ${within(spec)})`).join('\n');
}

const query = `
(function_declaration name: (_) @name body: (_) @body) @symbol.function
(function_declaration !body name: (_) @name) @symbol.function
(method_declaration receiver: (parameter_list (parameter_declaration type: ${owner})) name: (_) @name body: (_) @body) @symbol.method
(type_spec name: (_) @name type: (struct_type (field_declaration_list) @body)) @symbol.class
(type_spec name: (_) @name type: (interface_type)) @symbol.interface
(type_spec name: (_) @name) @symbol.type
(type_alias name: (_) @name) @symbol.type
(interface_type (method_elem name: (_) @name) @symbol.method)
(field_declaration !name type: (type_identifier) @base)
(field_declaration !name type: (pointer_type (type_identifier) @base))
${variables('const_spec', (spec) => `(const_declaration ${spec})`)}
${variables('var_spec', (spec) => `(var_declaration ${spec})`)}
${variables('var_spec', (spec) => `(var_declaration (var_spec_list ${spec}))`)}

(call_expression function: (identifier) @call.name) @call
(call_expression function: (selector_expression operand: (_) @call.receiver field: (_) @call.name)) @call
(composite_literal type: (type_identifier) @call.name) @call
(composite_literal type: (qualified_type package: (_) @call.receiver name: (_) @call.name)) @call

(import_spec !name path: (_) @import.module) @import
(import_spec name: (package_identifier) @import.namespace path: (_) @import.module) @import
(import_spec name: (dot) @import.all path: (_) @import.module) @import
`;

export const go: LanguageRules = {
  name: 'go',
  version: 1,
  extensions: ['.go'],
  grammar: 'go',
  query,
  wrappers: ['type_declaration', 'const_declaration', 'var_declaration', 'import_declaration'],
  functions: ['function_declaration', 'method_declaration', 'func_literal'],
  comments: ['comment'],
  // A last part that only says a version is not the name.
  moduleName: (module) =>
    module
      .replace(/\/v\d+$/, '')
      .split('/')
      .at(-1) ?? module,
  modules: 'go',
};
