# What node-gyp includes from a Node header tree. binding.gyp compiles nothing,
# so that two empty configurations are enough and no headers are downloaded.
{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': {
      'Debug': {},
      'Release': {},
    },
  },
}
