/** JavaScript, with JSX; what TypeScript takes over from it stands here too. */
import type { LanguageRules } from '../language.js';

/** Where variables are symbols: not inside of functions. */
function variables(at: (declaration: string) => string): string {
  const names = [
    '(variable_declarator name: (identifier) @name) @symbol.variable',
    '(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @name @symbol.variable))',
    '(variable_declarator name: (object_pattern (pair_pattern value: (identifier) @name @symbol.variable)))',
    '(variable_declarator name: (array_pattern (identifier) @name @symbol.variable))',
  ];
  const declarations = ['lexical_declaration', 'variable_declaration'];
  return names.flatMap((name) => declarations.map((kind) => at(`(${kind} ${name})`))).join('\n');
}

const anyFunction =
  '[(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]';

/** @param field how the grammar calls a field of a class. */
export function scriptQuery(field: string, fieldName: string): string {
  return `
(function_declaration name: (_) @name body: (_) @body) @symbol.function
(generator_function_declaration name: (_) @name body: (_) @body) @symbol.function
(class_declaration name: (_) @name body: (_) @body) @symbol.class
(class_body (method_definition name: (_) @name body: (_) @body) @symbol.method)
(${field} ${fieldName}: (_) @name value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @symbol.method
(${field} ${fieldName}: (_) @name) @symbol.variable
(variable_declarator name: (identifier) @name value: [
  (arrow_function body: (_) @body)
  (function_expression body: (_) @body)
  (generator_function body: (_) @body)
]) @symbol.function
(variable_declarator name: (identifier) @name value: (class body: (_) @body)) @symbol.class
(assignment_expression
  left: (member_expression object: [(identifier) (member_expression)] @exports property: (property_identifier) @name)
  right: ${anyFunction}
  (#match? @exports "^(module\\\\.)?exports$")) @symbol.function
(assignment_expression
  left: (member_expression object: (identifier) @module property: (property_identifier) @name)
  right: ${anyFunction}
  (#eq? @module "module") (#eq? @name "exports")) @symbol.function
(assignment_expression
  left: (member_expression
    object: (member_expression object: (identifier) @owner property: (property_identifier) @prototype)
    property: (property_identifier) @name)
  right: ${anyFunction}
  (#eq? @prototype "prototype")) @symbol.method
(program (expression_statement (assignment_expression
  left: (member_expression object: (identifier) @owner property: (property_identifier) @name)
  right: ${anyFunction}
  (#not-match? @owner "^(module|exports)$")) @symbol.method))
(export_statement "default" value: (arrow_function body: (_) @body) @symbol.function) @default
(export_statement "default" value: (function_expression !name body: (_) @body) @symbol.function) @default
(export_statement "default" value: (class !name body: (_) @body) @symbol.class) @default
${variables((declaration) => `(program ${declaration})`)}
${variables((declaration) => `(export_statement declaration: ${declaration})`)}

(call_expression function: (identifier) @call.name) @call
(call_expression function: (member_expression object: (_) @call.receiver property: (_) @call.name)) @call
(call_expression function: (super) @call.name) @call
(new_expression constructor: (identifier) @call.name) @call
(new_expression constructor: (member_expression object: (_) @call.receiver property: (_) @call.name)) @call

(import_statement (import_clause (identifier) @import.default @import) source: (_) @import.module)
(import_statement (import_clause (namespace_import (identifier) @import.namespace) @import) source: (_) @import.module)
(import_statement (import_clause (named_imports (import_specifier !alias name: (_) @import.name) @import)) source: (_) @import.module)
(import_statement
  (import_clause (named_imports (import_specifier name: (_) @import.name alias: (_) @import.alias) @import))
  source: (_) @import.module)
(program (lexical_declaration (variable_declarator
  name: (identifier) @import.namespace
  value: (call_expression function: (identifier) @require arguments: (arguments . (string) @import.module)))
  @import (#eq? @require "require")))
(program (lexical_declaration (variable_declarator
  name: (object_pattern (shorthand_property_identifier_pattern) @import.name @import)
  value: (call_expression function: (identifier) @require arguments: (arguments . (string) @import.module)))
  (#eq? @require "require")))
(program (lexical_declaration (variable_declarator
  name: (object_pattern (pair_pattern key: (_) @import.name value: (identifier) @import.alias) @import)
  value: (call_expression function: (identifier) @require arguments: (arguments . (string) @import.module)))
  (#eq? @require "require")))

(export_statement (export_clause (export_specifier !alias name: (_) @export.name)) source: (_) @export.module) @export
(export_statement
  (export_clause (export_specifier name: (_) @export.name alias: (_) @export.alias))
  source: (_) @export.module) @export
(export_statement !source (export_clause (export_specifier name: (_) @export.name alias: (_) @export.alias))) @export
(export_statement "*" @export.all source: (_) @export.module) @export
(export_statement (namespace_export (_) @export.namespace) source: (_) @export.module) @export
(export_statement "default" declaration: (_ name: (_) @export.default)) @export
(export_statement "default" value: (identifier) @export.default) @export
(export_statement "default" value: (_ name: (identifier) @export.default)) @export
`;
}

/** Elements of components call them. */
export const jsxQuery = `
(jsx_self_closing_element name: (identifier) @call.name (#match? @call.name "^[A-Z]")) @call
(jsx_opening_element name: (identifier) @call.name (#match? @call.name "^[A-Z]")) @call
(jsx_self_closing_element name: (member_expression object: (_) @call.receiver property: (_) @call.name)) @call
(jsx_opening_element name: (member_expression object: (_) @call.receiver property: (_) @call.name)) @call
`;

export const scriptWrappers = [
  'export_statement',
  'lexical_declaration',
  'variable_declaration',
  'expression_statement',
  'import_statement',
  'import_clause',
  'named_imports',
];

export const scriptFunctions = [
  'function_declaration',
  'function_expression',
  'generator_function_declaration',
  'generator_function',
  'arrow_function',
  'method_definition',
];

/** Every import says under which name the file knows it. */
export const scriptModuleName = (module: string) => module;

export const javascript: LanguageRules = {
  name: 'javascript',
  version: 2,
  extensions: ['.js', '.mjs', '.cjs', '.jsx'],
  grammar: 'javascript',
  query: `${scriptQuery('field_definition', 'property')}${jsxQuery}
(class_heritage (_) @base)`,
  wrappers: scriptWrappers,
  functions: scriptFunctions,
  comments: ['comment'],
  moduleName: scriptModuleName,
  modules: 'script',
};
