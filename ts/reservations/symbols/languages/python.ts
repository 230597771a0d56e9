/** Python. */
import type { LanguageRules } from '../language.js';

const query = `
(class_definition name: (identifier) @name body: (_) @body) @symbol.class
(class_definition superclasses: (argument_list [(identifier) (attribute)] @base))
(class_definition body: (block [
  (function_definition name: (identifier) @name body: (_) @body) @symbol.method
  (decorated_definition definition: (function_definition name: (identifier) @name body: (_) @body) @symbol.method)
]))
(function_definition name: (identifier) @name body: (_) @body) @symbol.function
(module (expression_statement (assignment left: (identifier) @name) @symbol.variable))
(module (expression_statement (assignment left: (pattern_list (identifier) @name @symbol.variable))))
(module (expression_statement (assignment left: (tuple_pattern (identifier) @name @symbol.variable))))
(class_definition body: (block (expression_statement (assignment left: (identifier) @name) @symbol.variable)))
(type_alias_statement left: (type (identifier) @name)) @symbol.type
(type_alias_statement left: (type (generic_type (identifier) @name))) @symbol.type

(call function: (identifier) @call.name) @call
(call function: (attribute object: (_) @call.receiver attribute: (identifier) @call.name)) @call
(decorator (identifier) @call.name) @call
(decorator (attribute object: (_) @call.receiver attribute: (identifier) @call.name)) @call

(import_statement name: (dotted_name) @import.namespace @import.module @import)
(import_statement name: (aliased_import name: (dotted_name) @import.module alias: (identifier) @import.namespace) @import)
(import_from_statement module_name: (_) @import.module name: (dotted_name) @import.name @import)
(import_from_statement module_name: (_) @import.module
  name: (aliased_import name: (dotted_name) @import.name alias: (identifier) @import.alias) @import)
(import_from_statement module_name: (_) @import.module (wildcard_import) @import.all @import)
`;

export const python: LanguageRules = {
  name: 'python',
  version: 1,
  extensions: ['.py', '.pyi'],
  grammar: 'python',
  query,
  wrappers: ['decorated_definition', 'expression_statement', 'import_statement', 'import_from_statement'],
  functions: ['function_definition', 'lambda'],
  comments: ['comment'],
  moduleName: (module) => module,
  modules: 'python',
};
