# Read by node-gyp next to common.gypi; nothing to say.
{ 'target_defaults': {}, 'variables': {} }
