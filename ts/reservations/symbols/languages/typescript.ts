/** TypeScript, without JSX. */
import type { LanguageRules } from '../language.js';
import { scriptFunctions, scriptModuleName, scriptQuery, scriptWrappers } from './javascript.js';

export const typedQuery = `${scriptQuery('public_field_definition', 'name')}
(abstract_class_declaration name: (_) @name body: (_) @body) @symbol.class
(class_heritage (extends_clause value: (_) @base))
(class_heritage (implements_clause (type_identifier) @base))
(interface_declaration name: (_) @name body: (_) @body) @symbol.interface
(interface_declaration (extends_type_clause (type_identifier) @base))
(enum_declaration name: (_) @name body: (_) @body) @symbol.enum
(type_alias_declaration name: (_) @name) @symbol.type
(function_signature name: (_) @name) @symbol.function
(class_body (method_signature name: (_) @name) @symbol.method)
(class_body (abstract_method_signature name: (_) @name) @symbol.method)
(interface_body (method_signature name: (_) @name) @symbol.method)
(internal_module name: (_) @name body: (_) @body) @symbol.module
(module name: (_) @name body: (_) @body) @symbol.module
(internal_module body: (statement_block (lexical_declaration (variable_declarator name: (identifier) @name) @symbol.variable)))
(import_statement (import_require_clause (identifier) @import.namespace source: (_) @import.module) @import)
`;

export const typedWrappers = [...scriptWrappers, 'ambient_declaration'];

export const typescript: LanguageRules = {
  name: 'typescript',
  version: 2,
  extensions: ['.ts', '.mts', '.cts'],
  grammar: 'typescript',
  query: typedQuery,
  wrappers: typedWrappers,
  functions: scriptFunctions,
  comments: ['comment'],
  moduleName: scriptModuleName,
  modules: 'script',
};
